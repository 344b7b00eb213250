//! The files by which a step tells the runner about variables, paths and outputs.

/// Reads `NAME=value` lines and `NAME<<DELIMITER` blocks, as in GITHUB_ENV and GITHUB_OUTPUT.
pub(super) fn assignments(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut found = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.trim().is_empty() {
            continue;
        }
        // Whichever comes first decides: a value may hold `<<`, a delimiter may hold `=`.
        let block = line.find("<<").filter(|at| line.find('=').is_none_or(|equals| *at < equals));
        let (name, value) = match block {
            Some(at) => (&line[..at], block_of(&line[at + 2..], &mut lines)?),
            None => {
                let (name, value) =
                    line.split_once('=').ok_or_else(|| format!("invalid format '{line}'"))?;
                (name, value.to_owned())
            }
        };
        if name.is_empty() {
            return Err(format!("invalid format '{line}': the name must not be empty"));
        }
        found.push((name.to_owned(), value));
    }
    Ok(found)
}

fn block_of(delimiter: &str, lines: &mut std::str::Lines<'_>) -> Result<String, String> {
    let mut value: Vec<&str> = Vec::new();
    for line in lines {
        if line == delimiter {
            return Ok(value.join("\n"));
        }
        value.push(line);
    }
    Err(format!("invalid value: matching delimiter not found '{delimiter}'"))
}

#[cfg(test)]
mod tests {
    use super::assignments;

    #[test]
    fn lines_and_blocks_are_read_in_order() {
        let read =
            assignments("A=1=2\n\nB<<END\nx\n\ny=<<z\nEND\nC=a<<b\n").expect("it is well formed");
        let read: Vec<_> = read.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(read, [("A", "1=2"), ("B", "x\n\ny=<<z"), ("C", "a<<b")]);
    }

    #[test]
    fn what_is_no_assignment_is_an_error() {
        assert!(assignments("hello").is_err());
        assert!(assignments("A<<END\nx").is_err());
        assert!(assignments("=1").is_err());
    }
}
