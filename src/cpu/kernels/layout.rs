//! [`Layout`]: how a row of K values becomes 32-bit words, the same for x and for W, so that words at one place multiply.

/// What a word holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// One f32.
    F32,
    /// Two bf16 values, the first in the low half.
    Bf16Pair,
    /// Four bytes.
    Bytes,
    /// Four bytes; of eight consecutive values the even ones come first, then the odd ones: what masking and shifting a word
    /// of 4-bit codes yields.
    SplitBytes,
}

impl Word {
    /// Values per step of the order: within it values may be permuted, and segments are padded to it.
    pub fn unit_values(self) -> usize {
        match self {
            Self::F32 => 1,
            Self::Bf16Pair => 2,
            Self::Bytes => 4,
            Self::SplitBytes => 8,
        }
    }

    /// Words per such unit.
    pub fn unit_words(self) -> usize {
        match self {
            Self::SplitBytes => 2,
            Self::F32 | Self::Bf16Pair | Self::Bytes => 1,
        }
    }

    /// Words for `len` values.
    pub fn words(self, len: usize) -> usize {
        len.div_ceil(self.unit_values()) * self.unit_words()
    }
}

/// A run of values within one scale group, padded to whole units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The first value.
    pub first: usize,
    /// How many values.
    pub len: usize,
    /// The first word.
    pub word: usize,
    /// How many words.
    pub words: usize,
    /// The group within the row.
    pub group: usize,
}

/// The most words a segment has, and the words a block of W holds per row.
///
/// 256 words of 48 rows of x are 48 KiB, of 8 rows of W 8 KiB: the first streams from the L2 cache, the second stays in L1.
pub const BLOCK_WORDS: usize = 256;

/// The segments of a row of K values.
#[derive(Clone, Debug)]
pub struct Layout {
    /// What a word holds.
    pub word: Word,
    /// Values per row.
    pub k: usize,
    /// In order, without gaps.
    pub segments: Vec<Segment>,
    /// Words per row.
    pub words: usize,
    /// Runs of segments that together fit [`BLOCK_WORDS`].
    pub blocks: Vec<std::ops::Range<usize>>,
}

impl Layout {
    /// Lays out rows of `k` values whose scale changes every `group_len`.
    pub fn new(word: Word, k: usize, group_len: usize) -> Self {
        let most = BLOCK_WORDS / word.unit_words() * word.unit_values();
        let (mut segments, mut words, mut first) = (Vec::new(), 0, 0);
        while first < k {
            let group = first / group_len;
            let end = k.min((group + 1).saturating_mul(group_len)).min(first + most);
            let count = word.words(end - first);
            segments.push(Segment { first, len: end - first, word: words, words: count, group });
            words += count;
            first = end;
        }
        let blocks = blocks(&segments);
        Self { word, k, segments, words, blocks }
    }

    /// The words of block `block`.
    pub fn block_words(&self, block: &std::ops::Range<usize>) -> std::ops::Range<usize> {
        let last = &self.segments[block.end - 1];
        self.segments[block.start].word..last.word + last.words
    }
}

fn blocks(segments: &[Segment]) -> Vec<std::ops::Range<usize>> {
    let (mut blocks, mut start) = (Vec::new(), 0);
    for (i, segment) in segments.iter().enumerate() {
        if segment.word + segment.words - segments[start].word > BLOCK_WORDS {
            blocks.push(start..i);
            start = i;
        }
    }
    if !segments.is_empty() {
        blocks.push(start..segments.len());
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_cover_a_row_and_never_cross_a_group() {
        for word in [Word::F32, Word::Bf16Pair, Word::Bytes, Word::SplitBytes] {
            for k in [1, 2, 7, 8, 31, 130, 4160] {
                for group_len in [1, 7, 32, 96, 128, 3000, k] {
                    let layout = Layout::new(word, k, group_len);
                    let (mut first, mut at) = (0, 0);
                    for s in &layout.segments {
                        assert_eq!((s.first, s.word), (first, at));
                        assert!(s.len > 0 && s.words <= BLOCK_WORDS && word.words(s.len) == s.words);
                        assert_eq!(s.first / group_len, s.group);
                        assert_eq!((s.first + s.len - 1) / group_len, s.group);
                        (first, at) = (first + s.len, at + s.words);
                    }
                    assert_eq!((first, at), (k, layout.words));
                    assert!(layout.blocks.iter().all(|b| layout.block_words(b).len() <= BLOCK_WORDS));
                    assert_eq!(layout.blocks.iter().map(|b| b.len()).sum::<usize>(), layout.segments.len());
                }
            }
        }
    }
}
