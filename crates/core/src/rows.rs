//! An ordered map whose copies share what they have in common.
//!
//! A plan edits a copy of the world, and a commit writes what differs between two: both must cost what changed, not
//! what is there. Entries lie in sorted chunks; a copy shares the chunks, and an edit copies the one that it touches.

use serde::de::{Deserialize, Deserializer};
use serde::ser::{Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Index;
use std::sync::Arc;

/// A chunk is split above twice this many entries: a copy of one stays far below a millisecond, and the list of chunks
/// of 100,000 entries fits into a few pages.
const CHUNK: usize = 32;

/// The map.
#[derive(Clone)]
pub struct Rows<K, V> {
    /// In order; none is empty.
    chunks: Vec<Arc<Vec<(K, V)>>>,
    len: usize,
}

/// How one key differs between two maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference<'a, K, V> {
    /// New, or with another value than before.
    Now(&'a K, &'a V),
    /// No more.
    Gone(&'a K),
}

impl<K: Ord + Clone, V: Clone> Rows<K, V> {
    /// An empty map.
    #[must_use]
    pub const fn new() -> Self {
        Rows { chunks: Vec::new(), len: 0 }
    }

    /// The chunk that holds a key or would, and the place in it.
    fn place(&self, key: &K) -> (usize, Result<usize, usize>) {
        let ends_before = |chunk: &Arc<Vec<(K, V)>>| chunk.last().is_some_and(|(k, _)| k < key);
        let at = self.chunks.partition_point(ends_before);
        match self.chunks.get(at) {
            Some(chunk) => (at, chunk.binary_search_by(|(k, _)| k.cmp(key))),
            None => match self.chunks.last() {
                Some(last) => (at - 1, Err(last.len())),
                None => (0, Err(0)),
            },
        }
    }

    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &K) -> Option<&V> {
        let (chunk, found) = self.place(key);
        Some(&self.chunks.get(chunk)?.get(found.ok()?)?.1)
    }

    /// Whether the key is there.
    #[must_use]
    pub fn contains_key(&self, key: &K) -> bool {
        self.place(key).1.is_ok()
    }

    /// The value of a key, to change it.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let (chunk, found) = self.place(key);
        let found = found.ok()?;
        Some(&mut Arc::make_mut(self.chunks.get_mut(chunk)?).get_mut(found)?.1)
    }

    /// The value of a key, made if it is not there.
    pub fn get_or_insert_with(&mut self, key: K, make: impl FnOnce() -> V) -> &mut V {
        let (mut chunk, found) = self.place(&key);
        let mut at = match found {
            Ok(at) | Err(at) => at,
        };
        if found.is_err() {
            (chunk, at) = self.put(chunk, at, (key, make()));
        }
        &mut Arc::make_mut(&mut self.chunks[chunk])[at].1
    }

    /// Sets a key; gives the value that it had.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let (chunk, found) = self.place(&key);
        match found {
            Ok(at) => {
                let entry = &mut Arc::make_mut(&mut self.chunks[chunk])[at];
                Some(std::mem::replace(&mut entry.1, value))
            }
            Err(at) => {
                self.put(chunk, at, (key, value));
                None
            }
        }
    }

    /// Puts a new entry where it belongs, and says where it came to lie.
    fn put(&mut self, chunk: usize, at: usize, entry: (K, V)) -> (usize, usize) {
        self.len += 1;
        if self.chunks.is_empty() {
            self.chunks.push(Arc::new(vec![entry]));
            return (0, 0);
        }
        let entries = Arc::make_mut(&mut self.chunks[chunk]);
        entries.insert(at, entry);
        if entries.len() <= 2 * CHUNK {
            return (chunk, at);
        }
        let upper = entries.split_off(CHUNK);
        self.chunks.insert(chunk + 1, Arc::new(upper));
        if at < CHUNK { (chunk, at) } else { (chunk + 1, at - CHUNK) }
    }

    /// Removes a key; gives the value that it had.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let (chunk, found) = self.place(key);
        let at = found.ok()?;
        let entries = Arc::make_mut(&mut self.chunks[chunk]);
        let (_, value) = entries.remove(at);
        self.len -= 1;
        self.heal(chunk);
        Some(value)
    }

    /// A small chunk joins its neighbour, so that their number follows the number of entries.
    fn heal(&mut self, chunk: usize) {
        let len = self.chunks[chunk].len();
        if len == 0 {
            self.chunks.remove(chunk);
            return;
        }
        let Some(next) = self.chunks.get(chunk + 1).filter(|_| len < CHUNK / 2) else { return };
        if len + next.len() <= CHUNK {
            let next = self.chunks.remove(chunk + 1);
            Arc::make_mut(&mut self.chunks[chunk]).extend(next.iter().cloned());
        }
    }

    /// Keeps the entries that `keep` says yes to.
    pub fn retain(&mut self, mut keep: impl FnMut(&K, &V) -> bool) {
        let gone = self.iter().filter(|(key, value)| !keep(key, value));
        let gone: Vec<K> = gone.map(|(key, _)| key.clone()).collect();
        for key in &gone {
            self.remove(key);
        }
    }

    /// How many entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All entries, in the order of their keys.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&K, &V)> + Clone {
        self.chunks.iter().flat_map(|chunk| chunk.iter()).map(|(key, value)| (key, value))
    }

    /// The entries from this key on, in order.
    pub fn range_from(&self, key: &K) -> impl Iterator<Item = (&K, &V)> {
        let (chunk, found) = self.place(key);
        let (Ok(at) | Err(at)) = found;
        let chunks = self.chunks.iter().skip(chunk);
        chunks.flat_map(|chunk| chunk.iter()).skip(at).map(|(key, value)| (key, value))
    }

    /// All keys, in order.
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &K> + Clone {
        self.iter().map(|(key, _)| key)
    }

    /// All values, in the order of their keys.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &V> + Clone {
        self.iter().map(|(_, value)| value)
    }

    /// All values, to change them: shares nothing with any copy afterwards.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.chunks.iter_mut().flat_map(|c| Arc::make_mut(c).iter_mut()).map(|(_, value)| value)
    }

    /// The entry with the least key.
    #[must_use]
    pub fn first_key_value(&self) -> Option<(&K, &V)> {
        self.iter().next()
    }

    /// What is otherwise here than in `before`, in the order of the keys. Costs what differs, if one is a copy of the
    /// other that was edited.
    pub fn since<'a>(&'a self, before: &'a Self) -> impl Iterator<Item = Difference<'a, K, V>>
    where
        V: PartialEq,
    {
        Comparison { before: Cursor::of(before), now: Cursor::of(self) }
    }
}

/// A place in a map.
struct Cursor<'a, K, V> {
    chunks: &'a [Arc<Vec<(K, V)>>],
    at: usize,
}

impl<'a, K, V> Cursor<'a, K, V> {
    fn of(rows: &'a Rows<K, V>) -> Self {
        Cursor { chunks: &rows.chunks, at: 0 }
    }

    fn entry(&self) -> Option<&'a (K, V)> {
        self.chunks.first()?.get(self.at)
    }

    fn step(&mut self) {
        self.at += 1;
        if self.chunks.first().is_some_and(|chunk| self.at >= chunk.len()) {
            self.skip_chunk();
        }
    }

    fn skip_chunk(&mut self) {
        (self.chunks, self.at) = (self.chunks.get(1..).unwrap_or_default(), 0);
    }

    /// Whether both stand at the start of one shared chunk.
    fn shares(&self, other: &Self) -> bool {
        let same = |(a, b): (&Arc<_>, &Arc<_>)| Arc::ptr_eq(a, b);
        self.at == 0
            && other.at == 0
            && self.chunks.first().zip(other.chunks.first()).is_some_and(same)
    }
}

/// Walks two maps side by side, past what they share.
struct Comparison<'a, K, V> {
    before: Cursor<'a, K, V>,
    now: Cursor<'a, K, V>,
}

impl<'a, K: Ord, V: PartialEq> Iterator for Comparison<'a, K, V> {
    type Item = Difference<'a, K, V>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            while self.before.shares(&self.now) {
                self.before.skip_chunk();
                self.now.skip_chunk();
            }
            match (self.before.entry(), self.now.entry()) {
                (None, None) => return None,
                (Some((old, _)), now) if now.is_none_or(|(new, _)| old < new) => {
                    self.before.step();
                    return Some(Difference::Gone(old));
                }
                (before, Some((new, value))) if before.is_none_or(|(old, _)| new < old) => {
                    self.now.step();
                    return Some(Difference::Now(new, value));
                }
                (before, now) => {
                    self.before.step();
                    self.now.step();
                    if let (Some((_, was)), Some((key, value))) = (before, now)
                        && was != value
                    {
                        return Some(Difference::Now(key, value));
                    }
                }
            }
        }
    }
}

impl<K: Ord + Clone, V: Clone> Default for Rows<K, V> {
    fn default() -> Self {
        Rows::new()
    }
}

impl<K: Ord + Clone, V: Clone + PartialEq> PartialEq for Rows<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.since(other).next().is_none()
    }
}

impl<K: Ord + Clone, V: Clone + Eq> Eq for Rows<K, V> {}

impl<K: fmt::Debug + Ord + Clone, V: fmt::Debug + Clone> fmt::Debug for Rows<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<K: Ord + Clone, V: Clone> Index<&K> for Rows<K, V> {
    type Output = V;

    /// As for the maps of the standard library: a key that is not there is a mistake of the caller's.
    fn index(&self, key: &K) -> &V {
        self.get(key).expect("whoever indexes knows that the key is there")
    }
}

impl<K: Ord + Clone, V: Clone> FromIterator<(K, V)> for Rows<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let sorted: BTreeMap<K, V> = entries.into_iter().collect();
        let len = sorted.len();
        let mut chunks = Vec::with_capacity(len / CHUNK + 1);
        let mut entries = sorted.into_iter().peekable();
        while entries.peek().is_some() {
            chunks.push(Arc::new(entries.by_ref().take(CHUNK).collect()));
        }
        Rows { chunks, len }
    }
}

/// As a list of pairs: a key need not be a text.
impl<K: Serialize + Ord + Clone, V: Serialize + Clone> Serialize for Rows<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de, K, V> Deserialize<'de> for Rows<K, V>
where
    K: Deserialize<'de> + Ord + Clone,
    V: Deserialize<'de> + Clone,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Vec::<(K, V)>::deserialize(deserializer)?.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same numbers at each run.
    fn numbers(count: usize) -> impl Iterator<Item = u64> {
        let step = |n: &u64| Some(n.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
        std::iter::successors(Some(9), step).map(|n| n >> 33).take(count)
    }

    #[test]
    fn it_is_as_the_standard_map_is() {
        let (mut rows, mut map) = (Rows::new(), BTreeMap::new());
        for number in numbers(20_000) {
            let key = number % 701;
            match number % 5 {
                0 | 1 => assert_eq!(rows.insert(key, number), map.insert(key, number)),
                2 => assert_eq!(rows.remove(&key), map.remove(&key)),
                3 => {
                    let value = rows.get_or_insert_with(key, || number);
                    assert_eq!(value, map.entry(key).or_insert(number));
                }
                _ => assert_eq!(rows.get_mut(&key), map.get_mut(&key)),
            }
            assert_eq!(rows.len(), map.len());
        }
        assert!(rows.iter().eq(map.iter()));
        assert!(rows.iter().rev().eq(map.iter().rev()));
        for key in 0..710 {
            assert_eq!(rows.get(&key), map.get(&key));
            assert!(rows.range_from(&key).eq(map.range(key..)), "from {key}");
        }
        rows.retain(|key, _| key % 3 == 0);
        map.retain(|key, _| key % 3 == 0);
        assert!(rows.iter().eq(map.iter()));
        assert!(rows.chunks.len() <= 2 * rows.len() / (CHUNK / 2) + 2, "small chunks have joined");
    }

    #[test]
    fn a_copy_keeps_what_it_had_and_the_difference_is_what_was_edited() {
        let before: Rows<u64, u64> = (0..10_000).map(|n| (n, n)).collect();
        let mut now = before.clone();
        now.insert(20_000, 1);
        now.insert(77, 0);
        now.remove(&5_000);
        *now.get_mut(&9_000).unwrap() = 9_000;
        assert_eq!((before.len(), before.get(&5_000)), (10_000, Some(&5_000)));
        let found: Vec<_> = now.since(&before).collect();
        assert_eq!(
            found,
            [Difference::Now(&77, &0), Difference::Gone(&5_000), Difference::Now(&20_000, &1)]
        );
        let shared = before.chunks.iter().filter(|a| now.chunks.iter().any(|b| Arc::ptr_eq(a, b)));
        assert!(shared.count() >= before.chunks.len() - 4, "untouched chunks are shared");
        assert_ne!(before, now);
        now = before.clone();
        now.insert(77, 77);
        assert_eq!(before, now);
    }

    #[test]
    fn differences_of_strangers_are_found_too() {
        let mut some: Rows<u64, u64> = Rows::new();
        let mut other = Rows::new();
        for number in numbers(3_000) {
            let rows = if number % 2 == 0 { &mut some } else { &mut other };
            rows.insert(number % 999, number % 3);
        }
        let mut healed: BTreeMap<u64, u64> = some.iter().map(|(k, v)| (*k, *v)).collect();
        for difference in other.since(&some) {
            match difference {
                Difference::Now(key, value) => drop(healed.insert(*key, *value)),
                Difference::Gone(key) => drop(healed.remove(key)),
            }
        }
        assert!(healed.iter().eq(other.iter()));
    }
}
