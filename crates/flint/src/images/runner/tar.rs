//! Reads a tar archive, entry by entry: what a header says, and nothing of what should be done about it. No unpacking.
//!
//! Known are POSIX's ustar and pax, and GNU's long names: what `tar` and .NET's tools write.

use std::io::{self, Read};

/// A block.
const BLOCK: usize = 512;
/// Names and their like are short.
const LONGEST_TEXT: u64 = 64 << 10;

/// A tar archive that is being read.
pub(super) struct Tar<R> {
    from: R,
    /// What of the last entry's bytes was not read, and fills its last block.
    rest: u64,
    padding: u64,
}

/// What a header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) path: Vec<u8>,
    pub(super) mode: u32,
    pub(super) size: u64,
    pub(super) kind: u8,
    pub(super) target: Vec<u8>,
}

/// What an extended header says of the entry behind it.
#[derive(Default)]
struct Extended {
    path: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
    size: Option<u64>,
}

impl<R: Read> Tar<R> {
    pub(super) fn new(from: R) -> Self {
        Tar { from, rest: 0, padding: 0 }
    }

    /// The next entry; `None` at the end. What was not read of the one before is skipped.
    pub(super) fn next(&mut self) -> io::Result<Option<Header>> {
        let mut extended = Extended::default();
        loop {
            let Some((header, prefix)) = self.header()? else {
                return Ok(None);
            };
            match header.kind {
                b'L' => extended.path = Some(self.text()?),
                b'K' => extended.target = Some(self.text()?),
                b'x' => extended.read(&self.whole()?)?,
                // Of all entries; nothing in it matters here.
                b'g' => {}
                _ => return self.complete(header, prefix, extended).map(Some),
            }
        }
    }

    fn complete(
        &mut self,
        mut header: Header,
        prefix: Vec<u8>,
        extended: Extended,
    ) -> io::Result<Header> {
        if let Some(size) = extended.size {
            self.expect(size);
            header.size = size;
        }
        header.target = extended.target.unwrap_or(header.target);
        header.path = match extended.path {
            Some(path) => path,
            None if prefix.is_empty() => header.path,
            None => [prefix, header.path].join(&b'/'),
        };
        Ok(header)
    }

    /// A header, and what stands before its path in another field.
    fn header(&mut self) -> io::Result<Option<(Header, Vec<u8>)>> {
        let skip = self.rest + self.padding;
        if io::copy(&mut (&mut self.from).take(skip), &mut io::sink())? < skip {
            return Err(cut());
        }
        (self.rest, self.padding) = (0, 0);
        let mut block = [0; BLOCK];
        self.from.read_exact(&mut block).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => cut(),
            _ => error,
        })?;
        if block == [0; BLOCK] {
            return Ok(None);
        }
        let sum: u64 = (0..BLOCK)
            .map(|at| if (148..156).contains(&at) { 32 } else { u64::from(block[at]) })
            .sum();
        if octal(&block[148..156]) != Some(sum) {
            return Err(broken("it is no tar archive, or a damaged one"));
        }
        let number = |field: &[u8]| {
            octal(field).ok_or_else(|| broken("a header has no number where one belongs"))
        };
        let ustar = &block[257..262] == b"ustar";
        let header = Header {
            path: text(&block[..100]),
            mode: u32::try_from(number(&block[100..108])?).unwrap_or(0),
            size: number(&block[124..136])?,
            kind: block[156],
            target: text(&block[157..257]),
        };
        self.expect(header.size);
        // GNU's own form has other things there.
        let prefix = if ustar && block[262] == 0 { text(&block[345..500]) } else { Vec::new() };
        Ok(Some((header, prefix)))
    }

    fn expect(&mut self, size: u64) {
        self.rest = size;
        self.padding = size.next_multiple_of(BLOCK as u64) - size;
    }

    fn whole(&mut self) -> io::Result<Vec<u8>> {
        if self.rest > LONGEST_TEXT {
            return Err(broken("a name is too long"));
        }
        let mut bytes = Vec::new();
        self.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn text(&mut self) -> io::Result<Vec<u8>> {
        self.whole().map(|bytes| text(&bytes))
    }
}

/// The bytes of the present entry.
impl<R: Read> Read for Tar<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.rest).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.from.read(&mut buffer[..most])?;
        if read == 0 && most > 0 {
            return Err(cut());
        }
        self.rest -= read as u64;
        Ok(read)
    }
}

impl Extended {
    /// Records of pax: `LENGTH KEY=VALUE`, a line's end after each.
    fn read(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let wrong = || broken("an extended header is damaged");
            let space = bytes.iter().position(|byte| *byte == b' ').ok_or_else(wrong)?;
            let length = std::str::from_utf8(&bytes[..space]).ok().and_then(|n| n.parse().ok());
            let length: usize = length.ok_or_else(wrong)?;
            let record = bytes.get(space + 1..length).and_then(|r| r.strip_suffix(b"\n"));
            let record = record.ok_or_else(wrong)?;
            let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(wrong)?;
            let (key, value) = (&record[..equals], record[equals + 1..].to_vec());
            match key {
                b"path" => self.path = Some(value),
                b"linkpath" => self.target = Some(value),
                b"size" => {
                    let size = String::from_utf8(value).ok().and_then(|n| n.parse().ok());
                    self.size = Some(size.ok_or_else(wrong)?);
                }
                key if key.starts_with(b"GNU.sparse") => {
                    return Err(broken(
                        "it holds a sparse file, which no build of the runner makes",
                    ));
                }
                _ => {}
            }
            bytes = &bytes[length..];
        }
        Ok(())
    }
}

/// Up to the first zero.
fn text(field: &[u8]) -> Vec<u8> {
    field.iter().copied().take_while(|byte| *byte != 0).collect()
}

/// Octal digits between spaces and zeroes. Numbers in base 256 are for sizes that nothing here has.
fn octal(field: &[u8]) -> Option<u64> {
    let field = field.iter().copied().skip_while(|byte| *byte == b' ');
    let digits: Vec<u8> = field.take_while(|byte| !matches!(byte, 0 | b' ')).collect();
    if !digits.iter().all(|digit| (b'0'..=b'7').contains(digit)) {
        return None;
    }
    Some(digits.iter().fold(0, |sum, digit| sum << 3 | u64::from(digit - b'0')))
}

fn cut() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "it is cut short")
}

fn broken(problem: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem)
}
