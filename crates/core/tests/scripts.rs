//! Facts in, orders out: each file of `tests/scripts` is a story whose whole text is compared.
//!
//! `BLESS=1 cargo test -p flint-core --test scripts` writes what came out into the files.

mod script;

use std::path::{Path, PathBuf};
use std::{env, fs};

#[test]
fn every_script_comes_out_as_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts");
    let entries = fs::read_dir(&folder).expect("the folder of scripts can be listed");
    let mut files: Vec<PathBuf> =
        entries.map(|e| e.expect("an entry can be read").path()).collect();
    files.sort();
    assert!(files.len() >= 15, "the scripts were found");
    let mut wrong = Vec::new();
    for file in files {
        let written = fs::read_to_string(&file).expect("a listed file can be read");
        let name = file.file_name().expect("a file has a name").to_string_lossy().into_owned();
        let played = script::play(&written);
        if played != written {
            wrong.push(difference(&name, &written, &played));
            if env::var_os("BLESS").is_some() {
                fs::write(&file, played).expect("a script can be written");
            }
        }
    }
    let blessed = env::var_os("BLESS").is_some();
    assert!(wrong.is_empty() || blessed, "{}", wrong.join("\n"));
}

fn difference(name: &str, written: &str, played: &str) -> String {
    let (written, played): (Vec<_>, Vec<_>) = (written.lines().collect(), played.lines().collect());
    let same = written.iter().zip(&played).take_while(|(a, b)| a == b).count();
    let at =
        |lines: &[&str]| lines[same..].iter().take(4).copied().collect::<Vec<_>>().join("\n  ");
    let (line, was, is) = (same + 1, at(&written), at(&played));
    format!("{name}:{line}\n written:\n  {was}\n came out:\n  {is}\n")
}
