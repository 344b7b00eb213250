//! The one loop: fold, plan, commit, dispatch.
