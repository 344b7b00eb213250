//! A stand-in for GitHub's runner that speaks the same protocol and runs `run:` steps with bash.
