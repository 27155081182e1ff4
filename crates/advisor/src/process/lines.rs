//! Lines out of what a command writes, none longer than allowed.

/// A line was longer than allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLong;

/// Cuts a stream of bytes into lines.
#[derive(Debug)]
pub struct Lines {
    buffer: Vec<u8>,
    /// Bytes of `buffer` that hold no end of a line.
    searched: usize,
    longest: usize,
}

impl Lines {
    /// Of lines of at most `longest` bytes, their end not counted.
    pub fn new(longest: usize) -> Self {
        Self {
            buffer: Vec::new(),
            searched: 0,
            longest,
        }
    }

    /// Takes what has come.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole line without its end.
    ///
    /// # Errors
    /// It is too long; nothing that comes after it has a meaning.
    pub fn next(&mut self) -> Result<Option<Vec<u8>>, TooLong> {
        let end = self.buffer[self.searched..]
            .iter()
            .position(|byte| *byte == b'\n')
            .map(|at| at + self.searched);
        if end.unwrap_or(self.buffer.len()) > self.longest {
            return Err(TooLong);
        }
        let Some(end) = end else {
            self.searched = self.buffer.len();
            return Ok(None);
        };
        let after = self.buffer.split_off(end + 1);
        let mut line = std::mem::replace(&mut self.buffer, after);
        line.pop();
        self.searched = 0;
        Ok(Some(line))
    }

    /// What came after the last whole line: a line by itself, once nothing more can come.
    pub fn rest(&mut self) -> Vec<u8> {
        self.searched = 0;
        std::mem::take(&mut self.buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_wherever_the_stream_was() {
        for size in 1..12 {
            let mut lines = Lines::new(5);
            let mut found = Vec::new();
            for chunk in b"one\n\nthree\nfo".chunks(size) {
                lines.push(chunk);
                while let Some(line) = lines.next().expect("none is longer than five bytes") {
                    found.push(line);
                }
            }
            assert_eq!(found, [b"one".to_vec(), vec![], b"three".to_vec()]);
            assert_eq!(lines.rest(), b"fo");
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_refused_with_and_without_its_end() {
        let mut lines = Lines::new(5);
        lines.push(b"longer");
        assert_eq!(lines.next(), Err(TooLong));
        let mut lines = Lines::new(5);
        lines.push(b"longer\n");
        assert_eq!(lines.next(), Err(TooLong));
    }
}
