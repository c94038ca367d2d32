//! Renders a template within bounds, in memory that is zeroed.
//!
//! Each buffer is made in its final size: one that grew would leave copies behind. The size is known before the
//! buffer is made, and comes off a budget, so nothing larger than the budget is ever made.

use std::io;

use base64::{
    Engine as _, alphabet, decoded_len_estimate, encoded_len,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};
use zeroize::Zeroizing;

use super::{Data, Error, Expression, Filter, Line, Piece, Template, shown};

/// The largest value, and the largest text on the way to it: as much as Kubernetes puts into a Secret.
const LARGEST: usize = 1 << 20;

/// The fuel of one rendering: the bytes that all its steps may read and make. A few steps over the largest text.
const FUEL: usize = 8 * LARGEST;

/// Base64 as it is found in Secrets: with or without padding.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

type Buffer = Zeroizing<Vec<u8>>;

/// The outcome of an expression.
enum Content<'a> {
    /// A text of the template, or of a key.
    Found(&'a [u8]),
    /// A text of our own making.
    Made(Buffer),
}

impl AsRef<[u8]> for Content<'_> {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Found(bytes) => bytes,
            Self::Made(buffer) => buffer,
        }
    }
}

/// What is left of the fuel.
struct Fuel(usize);

impl Fuel {
    fn burn(&mut self, bytes: usize) -> Result<(), Error> {
        self.0 = self.0.checked_sub(bytes).ok_or(Error::Large)?;
        Ok(())
    }

    /// An empty buffer for just so many bytes.
    fn buffer(&mut self, size: usize) -> Result<Buffer, Error> {
        if size > LARGEST {
            return Err(Error::Large);
        }
        self.burn(size)?;
        Ok(Zeroizing::new(Vec::with_capacity(size)))
    }
}

impl Template {
    /// The value, which is UTF-8, in a buffer of just its size.
    ///
    /// # Errors
    /// A missing key before all else, then what can't be made of the keys' content.
    pub fn render(&self, data: &Data) -> Result<Zeroizing<Vec<u8>>, Error> {
        if let Some(key) = self.keys.iter().find(|key| data.get(key).is_none()) {
            return Err(Error::Missing(shown(key)));
        }
        let fuel = &mut Fuel(FUEL);
        let pieces = self.pieces.iter().map(|piece| match piece {
            Piece::Text(text) => Ok(Content::Found(text.as_bytes())),
            Piece::Value(value) => value.text(data, fuel),
        });
        let pieces: Vec<_> = pieces.collect::<Result<_, _>>()?;
        joined(&pieces, fuel)
    }
}

impl Expression {
    fn eval<'a>(&'a self, data: &'a Data, fuel: &mut Fuel) -> Result<Content<'a>, Error> {
        match self {
            Self::Text(text) => Ok(Content::Found(text.as_bytes())),
            Self::Key(key) => {
                let bytes = data.get(key).ok_or_else(|| Error::Missing(shown(key)))?;
                Ok(Content::Found(bytes))
            }
            Self::Joined(both) => {
                let [left, right] = both.as_ref();
                let both = [left.text(data, fuel)?, right.text(data, fuel)?];
                joined(&both, fuel).map(Content::Made)
            }
            Self::Filtered(Filter::B64Encode, of, _) => {
                let bytes = of.eval(data, fuel)?;
                base64(bytes.as_ref(), fuel).map(Content::Made)
            }
            Self::Filtered(filter, of, line) => {
                let content = of.text(data, fuel)?;
                // It is text, or it would have been refused one line above.
                let text = as_text(content.as_ref()).ok_or(Error::Decoded(*line))?;
                filter.apply(text, *line, fuel).map(Content::Made)
            }
            Self::AllAsJson => all_as_json(data, fuel).map(Content::Made),
        }
    }

    /// The same, and UTF-8.
    fn text<'a>(&'a self, data: &'a Data, fuel: &mut Fuel) -> Result<Content<'a>, Error> {
        let content = self.eval(data, fuel)?;
        fuel.burn(content.as_ref().len())?;
        match (as_text(content.as_ref()), self) {
            (Some(_), _) => Ok(content),
            (None, Self::Key(key)) => Err(Error::Binary(shown(key))),
            // Nothing else makes anything but text.
            (None, Self::Filtered(_, _, line)) => Err(Error::Decoded(*line)),
            (None, Self::Text(_) | Self::Joined(_) | Self::AllAsJson) => Err(Error::Decoded(1)),
        }
    }
}

impl Filter {
    fn apply(self, text: &str, line: Line, fuel: &mut Fuel) -> Result<Buffer, Error> {
        match self {
            Self::UrlEncode => url(text, fuel),
            Self::B64Encode => base64(text.as_bytes(), fuel),
            Self::B64Decode => unbase64(text, line, fuel),
            Self::Trim => {
                let trimmed = text.trim();
                let mut buffer = fuel.buffer(trimmed.len())?;
                buffer.extend_from_slice(trimmed.as_bytes());
                Ok(buffer)
            }
            Self::ToJson => json(text, fuel),
        }
    }
}

fn as_text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

fn joined(pieces: &[Content<'_>], fuel: &mut Fuel) -> Result<Buffer, Error> {
    let sizes = pieces.iter().map(|piece| piece.as_ref().len());
    let mut buffer = fuel.buffer(sizes.sum())?;
    for piece in pieces {
        buffer.extend_from_slice(piece.as_ref());
    }
    Ok(buffer)
}

fn url(text: &str, fuel: &mut Fuel) -> Result<Buffer, Error> {
    let unreserved =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    let sizes = text
        .bytes()
        .map(|byte| if unreserved(byte) { 1 } else { 3 });
    let mut buffer = fuel.buffer(sizes.sum())?;
    for byte in text.bytes() {
        if unreserved(byte) {
            buffer.push(byte);
        } else {
            let digit = |half: u8| b"0123456789ABCDEF"[usize::from(half)];
            buffer.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
    Ok(buffer)
}

fn base64(bytes: &[u8], fuel: &mut Fuel) -> Result<Buffer, Error> {
    fuel.burn(bytes.len())?;
    let size = encoded_len(bytes.len(), true).ok_or(Error::Large)?;
    let mut buffer = fuel.buffer(size)?;
    buffer.resize(size, 0);
    STANDARD
        .encode_slice(bytes, &mut buffer)
        .map_err(|_| Error::Large)?;
    Ok(buffer)
}

/// Line breaks and blanks, which encoders put in between, are passed over.
fn unbase64(text: &str, line: Line, fuel: &mut Fuel) -> Result<Buffer, Error> {
    let mut dense = fuel.buffer(text.len())?;
    dense.extend(text.bytes().filter(|byte| !byte.is_ascii_whitespace()));
    let size = decoded_len_estimate(dense.len());
    let mut buffer = fuel.buffer(size)?;
    buffer.resize(size, 0);
    let length = LENIENT
        .decode_slice(&dense, &mut buffer)
        .map_err(|_| Error::NotBase64(line))?;
    buffer.truncate(length);
    Ok(buffer)
}

fn json(text: &str, fuel: &mut Fuel) -> Result<Buffer, Error> {
    written(fuel, |to| serde_json::to_writer(to, text))
}

fn all_as_json(data: &Data, fuel: &mut Fuel) -> Result<Buffer, Error> {
    let text = |(key, bytes): (&'_ String, &'_ Buffer)| match as_text(bytes) {
        Some(_) => Ok(bytes.len()),
        None => Err(Error::Binary(shown(key))),
    };
    for size in data.0.iter().map(text) {
        fuel.burn(size?)?;
    }
    let entries = || {
        data.0
            .iter()
            .filter_map(|(key, bytes)| Some((key, as_text(bytes)?)))
    };
    written(fuel, |to| {
        use serde::Serializer as _;
        serde_json::Serializer::new(to).collect_map(entries())
    })
}

/// Writes twice: to learn the size, and into a buffer of that size.
fn written(
    fuel: &mut Fuel,
    write: impl Fn(&mut dyn io::Write) -> serde_json::Result<()>,
) -> Result<Buffer, Error> {
    let mut size = Size(0);
    write(&mut size).map_err(|_| Error::Large)?;
    let mut buffer = fuel.buffer(size.0)?;
    write(&mut *buffer).map_err(|_| Error::Large)?;
    Ok(buffer)
}

/// Counts what is written.
struct Size(usize);

impl io::Write for Size {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
