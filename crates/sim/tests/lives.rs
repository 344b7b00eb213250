//! Many whole lives of the core, on all cores. `FLINT_LIVES=2000` runs that many instead of 500.

use flint_sim::lives::many;
use std::env;

#[test]
fn every_life_ends_with_all_jobs_done_and_nothing_left() {
    let count = env::var("FLINT_LIVES").ok();
    let count = count.map_or(500, |text| text.parse().expect("FLINT_LIVES is a number"));
    let sum = many(0..count, 5);
    let failed: Vec<String> = sum.failed.iter().map(ToString::to_string).collect();
    assert!(failed.is_empty(), "of {} lives these failed: {failed:#?}", sum.lives);
    assert_eq!(sum.lives, count);
}
