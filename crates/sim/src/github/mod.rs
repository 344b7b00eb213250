//! A fake GitHub: REST, signed webhooks, and the runner protocol, as one honest server.
