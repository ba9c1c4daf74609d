//! Bytes, spent in order.

use bytes::Bytes;

/// Pieces of texts that have done harm somewhere.
const PIECES: &[&str] = &[
    "user",
    "profile",
    ":",
    "::",
    "42",
    "a",
    "é",
    "🎈",
    "%",
    "%2F",
    "%2f",
    "%G",
    "{",
    "}",
    "*",
    "?",
    "[",
    "]",
    "\\",
    "@",
    "~",
    "~tag:",
    "~ns:",
    "@acme:",
    "#",
    "\0",
    "\n",
    "\r\n",
    "\t",
    " ",
    "\u{1b}[31m",
    "\u{7f}",
    "\u{85}",
    "\u{a0}",
    "\u{2028}",
    "\u{202e}",
    "\u{feff}",
    "__proto__",
    "constructor",
    "..",
    "/",
    "//",
    "\"",
    "'",
    "<script>",
    "${x}",
    "$(x)",
    "`",
    ",",
    ";",
    "=",
    "&",
    "-1",
    "0",
    "18446744073709551616",
    "1e400",
    "NaN",
    "5m",
    "1h30m",
    "99999999999999999999d",
    "ms",
    "-0",
];

/// Numbers at which something ends.
const NUMBERS: &[u64] = &[
    0,
    1,
    2,
    63,
    64,
    65,
    127,
    128,
    255,
    256,
    1_000,
    65_535,
    65_536,
    1 << 20,
    (1 << 31) - 1,
    1 << 31,
    u32::MAX as u64,
    1 << 32,
    1 << 53,
    (1 << 53) + 1,
    1_700_000_000_000,
    1_700_000_000_000_000,
    i64::MAX as u64,
    1 << 63,
    u64::MAX - 1,
    u64::MAX,
];

/// An input on its way; when it is spent it gives zeros.
pub(crate) struct Source<'a> {
    rest: &'a [u8],
}

impl<'a> Source<'a> {
    pub(crate) fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    pub(crate) fn is_spent(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.rest.split_first() else { return 0 };
        self.rest = rest;
        *first
    }

    pub(crate) fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// Below `end`, which is above zero.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        let number = if end <= 256 { usize::from(self.byte()) } else { self.word() as usize };
        number % end
    }

    pub(crate) fn word(&mut self) -> u32 {
        u32::from_le_bytes([self.byte(), self.byte(), self.byte(), self.byte()])
    }

    /// Any number, often one at which something ends.
    pub(crate) fn number(&mut self) -> u64 {
        match self.byte() {
            kind if kind < 128 => NUMBERS[usize::from(kind) % NUMBERS.len()],
            kind if kind < 192 => u64::from(self.byte()),
            _ => u64::from(self.word()) << 32 | u64::from(self.word()),
        }
    }

    /// As a driver gives it.
    pub(crate) fn told(&mut self) -> u64 {
        self.number() % ((1 << 53) + 1)
    }

    pub(crate) fn pick<T: Copy>(&mut self, those: &[T]) -> T {
        those[self.below(those.len())]
    }

    pub(crate) fn take(&mut self, count: usize) -> &'a [u8] {
        let (head, rest) = self.rest.split_at(count.min(self.rest.len()));
        self.rest = rest;
        head
    }

    pub(crate) fn bytes(&mut self) -> Bytes {
        let count = self.below(256);
        Bytes::copy_from_slice(self.take(count))
    }

    pub(crate) fn rest(&mut self) -> &'a [u8] {
        self.take(usize::MAX)
    }

    /// A text of harmful pieces, or of any bytes.
    pub(crate) fn text(&mut self) -> String {
        match self.byte() % 8 {
            0 => String::from_utf8_lossy(&self.bytes()).into_owned(),
            1 => PIECES[self.below(PIECES.len())].repeat(self.below(256)),
            count => (0..count).map(|_| self.pick(PIECES)).collect(),
        }
    }
}
