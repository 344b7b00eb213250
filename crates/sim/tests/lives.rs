//! Many whole lives of the core. `FLINT_LIVES=2000` runs that many instead of 200.

use flint_sim::lives::live;
use std::env;

#[test]
fn every_life_ends_with_all_jobs_done_and_nothing_left() {
    let count = env::var("FLINT_LIVES").ok();
    let count = count.map_or(200, |text| text.parse().expect("FLINT_LIVES is a number"));
    let failed: Vec<String> =
        (0..count).filter_map(|seed| live(seed, false).err()).map(|e| e.to_string()).collect();
    let (few, how_many) = (failed.iter().take(5), failed.len());
    let few: Vec<&String> = few.collect();
    assert!(failed.is_empty(), "{how_many} of {count} lives failed, among them {few:#?}");
}
