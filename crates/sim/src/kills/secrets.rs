//! Looks for pieces of secrets in files and processes.

use std::fs;
use std::path::Path;

/// A piece this long is not there by chance.
const PIECE: usize = 32;

/// What nothing may hold.
pub(super) struct Secrets(Vec<Vec<u8>>);

impl Secrets {
    /// Any whole piece of one of these.
    pub(super) fn of<'a>(texts: impl IntoIterator<Item = &'a str>) -> Secrets {
        let lines = texts.into_iter().flat_map(str::lines).map(str::as_bytes);
        let pieces = lines.flat_map(|line| line.chunks_exact(PIECE).map(<[u8]>::to_vec));
        Secrets(pieces.collect())
    }

    /// Whether these bytes hold a piece.
    pub(super) fn are_in(&self, bytes: &[u8]) -> bool {
        // Secrets are base64 and the like, so most bytes need not be compared.
        let words = bytes.split(|byte| !(byte.is_ascii_alphanumeric() || b"+/=_-.".contains(byte)));
        let long = words.filter(|word| word.len() >= PIECE);
        long.into_iter()
            .any(|word| word.windows(PIECE).any(|part| self.0.iter().any(|p| p == part)))
    }

    /// The files below this folder that hold a piece, in words.
    pub(super) fn in_files(&self, folder: &Path) -> Vec<String> {
        let mut found = Vec::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                let (path, kind) = (entry.path(), entry.file_type());
                // Made before any guest, and never written again.
                let template = entry.file_name().to_string_lossy().starts_with("template-");
                match kind {
                    Ok(kind) if kind.is_dir() => folders.push(path),
                    Ok(kind) if kind.is_file() && !template && self.in_file(&path) => {
                        found.push(format!("a secret in {}", path.display()));
                    }
                    _ => {}
                }
            }
        }
        found
    }

    /// Whether this file holds a piece.
    pub(super) fn in_file(&self, path: &Path) -> bool {
        self.are_in(&fs::read(path).unwrap_or_default())
    }

    /// The processes whose command line or environment holds a piece, in words.
    pub(super) fn in_processes(&self, pids: &[u32]) -> Vec<String> {
        let places = pids
            .iter()
            .flat_map(|pid| ["cmdline", "environ"].map(|what| format!("/proc/{pid}/{what}")));
        let holds = places.filter(|place| self.in_file(Path::new(place)));
        holds.map(|place| format!("a secret in {place}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Secrets;

    const SECRET: &str =
        "ghs_0123456789abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";

    #[test]
    fn a_piece_is_found_wherever_it_begins() {
        let secrets = Secrets::of([SECRET]);
        for from in 0..10 {
            let text = format!("{{\"token\":\"{}\"}}\n", &SECRET[from..]);
            assert!(secrets.are_in(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn files_of_a_folder_are_looked_at_whatever_their_depth() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("a/b");
        std::fs::create_dir_all(&deep).unwrap();
        std::fs::write(
            folder.path().join("plain"),
            "no secret at all, however long this line may become",
        )
        .unwrap();
        let secrets = Secrets::of([SECRET]);
        assert!(secrets.in_files(folder.path()).is_empty());
        std::fs::write(deep.join("leak"), SECRET).unwrap();
        assert_eq!(secrets.in_files(folder.path()).len(), 1);
    }
}
