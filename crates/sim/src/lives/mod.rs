//! Runs the real core against a made-up GitHub and made-up hosts. One seed is one whole life.
