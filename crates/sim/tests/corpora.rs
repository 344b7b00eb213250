//! What the fuzzers found worth keeping is taken in again by every build.

use flint_sim::strangers::WAYS;
use std::fs;
use std::path::Path;

#[test]
fn nothing_in_the_corpora_makes_anything_panic() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    for (name, take) in WAYS {
        let mut kept = 0;
        for file in fs::read_dir(corpora.join(name)).expect("each way in has a corpus") {
            take(&fs::read(file.unwrap().path()).unwrap());
            kept += 1;
        }
        assert!(kept > 10, "{name} has {kept} inputs");
    }
}
