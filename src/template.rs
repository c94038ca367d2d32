//! A value put together from the keys of one Secret: text with `{{ … }}` in it, in the syntax of Jinja.
//!
//! Pure. minijinja reads the text; what it finds is translated into the few things a template may do, and all else is
//! refused by name, before any value is there. So a template reaches nothing but the keys it was given: there is no
//! statement, no loop, no function, no variable of its own. Its work is bounded in `render`.
//!
//! Whoever writes a template is not trusted with the process: the parser of minijinja recurses, so the tokens of an
//! expression are counted before it sees them.
//!
//! Every key that is named has to exist. `data` is always the map of all keys; a key of that name is `data["data"]`.

use std::collections::{BTreeMap, BTreeSet};

use minijinja::{
    machinery::{
        Span, Token,
        ast::{self, Spanned},
        parse, tokenize,
    },
    syntax::SyntaxConfig,
};
use zeroize::Zeroizing;

#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod render;

/// The content of a Secret's keys. It has no form to be printed in.
#[derive(Default)]
pub struct Data(BTreeMap<String, Zeroizing<Vec<u8>>>);

impl FromIterator<(String, Zeroizing<Vec<u8>>)> for Data {
    fn from_iter<T: IntoIterator<Item = (String, Zeroizing<Vec<u8>>)>>(entries: T) -> Self {
        Self(entries.into_iter().collect())
    }
}

impl Data {
    /// The content of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&[u8]> {
        self.0.get(key).map(|bytes| bytes.as_slice())
    }
}

/// The name under which a template finds all keys.
const ALL_KEYS: &str = "data";

/// The most tokens of one expression: far more than a value needs, and far less than what exhausts a thread's stack.
const MOST_TOKENS: usize = 200;

/// The longest name an error shows: no key of a Secret is longer.
const LONGEST_NAME: usize = 253;

/// A template that may be rendered.
#[derive(Debug)]
pub struct Template {
    pieces: Vec<Piece>,
    /// The keys it names.
    keys: BTreeSet<String>,
    /// Whether it takes all others, too.
    takes_all: bool,
}

#[derive(Debug)]
enum Piece {
    Text(String),
    Value(Expression),
}

/// All that an expression can be.
#[derive(Debug)]
enum Expression {
    /// A text in quotes.
    Text(String),
    /// The content of a key.
    Key(String),
    /// Two texts, one after the other.
    Joined(Box<[Expression; 2]>),
    /// A filter applied to what stands before it.
    Filtered(Filter, Box<Expression>, Line),
    /// All keys as one JSON object.
    AllAsJson,
}

/// The filters there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Filter {
    /// Everything but unreserved characters (RFC 3986) as %XX.
    UrlEncode,
    /// Base64, with padding.
    B64Encode,
    /// The content of base64.
    B64Decode,
    /// Without white space at either end.
    Trim,
    /// A JSON string.
    ToJson,
}

impl Filter {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "urlencode" => Self::UrlEncode,
            "b64encode" => Self::B64Encode,
            "b64decode" => Self::B64Decode,
            "trim" => Self::Trim,
            "tojson" => Self::ToJson,
            _ => return None,
        })
    }
}

/// A line of the template's text, from 1.
type Line = u16;

/// Why there is no value. Holds names and lines of the template's text, and nothing of any value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The text is no template.
    #[error("has a syntax error in line {0}: correct it")]
    Syntax(Line),
    /// A statement.
    #[error(
        "has a statement ({{% … %}}) in line {0}, which is not available: a template is text with {{{{ … }}}} in it"
    )]
    Statement(Line),
    /// Anything else of Jinja's.
    #[error(
        "has an expression in line {0} that is not available: use keys (user, or data[\"any-key\"]), texts in quotes, ~ between them, and filters"
    )]
    Expression(Line),
    /// A filter that does not exist.
    #[error(
        "uses the filter {1:?} in line {0}, which is not available: use urlencode, b64encode, b64decode, trim or tojson"
    )]
    Filter(Line, String),
    /// A filter with arguments.
    #[error("gives arguments to the filter {1:?} in line {0}: it takes none")]
    Arguments(Line, String),
    /// An expression of too many tokens.
    #[error("has an expression in line {0} of more than {MOST_TOKENS} parts: make it shorter")]
    Long(Line),
    /// What it would make, or what it would take to make it, is too large.
    #[error("makes too much of its keys: a value has at most 1 MiB, and is made in few steps")]
    Large,
    /// The Secret lacks a key.
    #[error("uses the key {0:?}, which is missing")]
    Missing(String),
    /// A key that is not UTF-8 is used as text.
    #[error("uses the key {0:?} as text, which is not UTF-8: use it with b64encode only")]
    Binary(String),
    /// What `b64decode` gives is used as text, and is not UTF-8.
    #[error("decodes base64 in line {0} to what is not UTF-8 text: leave b64decode out")]
    Decoded(Line),
    /// `b64decode` was given something else.
    #[error(
        "decodes base64 in line {0}, but what is there is not base64: leave b64decode out, or correct the Secret"
    )]
    NotBase64(Line),
}

impl Template {
    /// Reads `text`.
    ///
    /// # Errors
    /// Whatever is wrong with the text itself.
    pub fn parse(text: &str) -> Result<Self, Error> {
        count_tokens(text)?;
        let parsed =
            parse(text, "", SyntaxConfig::default()).map_err(|error| syntax_error(&error))?;
        let ast::Stmt::Template(template) = parsed else {
            return Err(Error::Syntax(1));
        };
        let pieces = template.children.iter().map(|piece| match piece {
            ast::Stmt::EmitRaw(text) => Ok(Piece::Text(text.raw.to_owned())),
            ast::Stmt::EmitExpr(value) => Ok(Piece::Value(expression(&value.expr)?)),
            // Its tokens were refused before.
            _ => Err(Error::Statement(1)),
        });
        let mut template = Self {
            pieces: pieces.collect::<Result<_, _>>()?,
            keys: BTreeSet::new(),
            takes_all: false,
        };
        for piece in &template.pieces {
            if let Piece::Value(value) = piece {
                value.needs(&mut template.keys, &mut template.takes_all);
            }
        }
        Ok(template)
    }

    /// Whether it needs the key of that name.
    #[must_use]
    pub fn uses(&self, key: &str) -> bool {
        self.takes_all || self.keys.contains(key)
    }
}

impl Expression {
    /// Adds the keys it needs.
    fn needs(&self, keys: &mut BTreeSet<String>, all: &mut bool) {
        match self {
            Self::Text(_) => {}
            Self::Key(key) => {
                keys.insert(key.clone());
            }
            Self::Joined(both) => both.iter().for_each(|one| one.needs(keys, all)),
            Self::Filtered(_, of, _) => of.needs(keys, all),
            Self::AllAsJson => *all = true,
        }
    }
}

/// Refuses statements, and expressions so long that the parser, or what walks through its result, would go too deep.
fn count_tokens(text: &str) -> Result<(), Error> {
    let mut tokens = 0;
    for token in tokenize(text, false, SyntaxConfig::default()) {
        let (token, Span { start_line, .. }) = token.map_err(|error| syntax_error(&error))?;
        match token {
            Token::BlockStart => return Err(Error::Statement(start_line)),
            Token::VariableStart => tokens = 0,
            _ => tokens += 1,
        }
        if tokens > MOST_TOKENS {
            return Err(Error::Long(start_line));
        }
    }
    Ok(())
}

/// Only the line: the rest of the message quotes the text.
fn syntax_error(error: &minijinja::Error) -> Error {
    let line = error
        .line()
        .and_then(|line| Line::try_from(line).ok())
        .unwrap_or(1);
    Error::Syntax(line)
}

fn expression(expression: &ast::Expr<'_>) -> Result<Expression, Error> {
    let line = expression.span().start_line;
    let unavailable = || Error::Expression(line);
    match expression {
        ast::Expr::Const(literal) => {
            let text = literal.value.as_str().ok_or_else(unavailable)?;
            Ok(Expression::Text(text.to_owned()))
        }
        ast::Expr::Var(name) if name.id != ALL_KEYS => Ok(Expression::Key(name.id.to_owned())),
        ast::Expr::GetAttr(of) if is_all(&of.expr) => Ok(Expression::Key(of.name.to_owned())),
        ast::Expr::GetItem(of) if is_all(&of.expr) => match &of.subscript_expr {
            ast::Expr::Const(key) => {
                let key = key.value.as_str().ok_or_else(unavailable)?;
                Ok(Expression::Key(key.to_owned()))
            }
            // A key that is named by a value would have to be named in errors.
            _ => Err(unavailable()),
        },
        ast::Expr::BinOp(both) if matches!(both.op, ast::BinOpKind::Concat) => {
            let both = [
                self::expression(&both.left)?,
                self::expression(&both.right)?,
            ];
            Ok(Expression::Joined(Box::new(both)))
        }
        ast::Expr::Filter(filter) => filtered(filter, line),
        _ => Err(unavailable()),
    }
}

fn filtered(node: &Spanned<ast::Filter<'_>>, line: Line) -> Result<Expression, Error> {
    let name = || shown(node.name);
    let filter = Filter::named(node.name).ok_or_else(|| Error::Filter(line, name()))?;
    if !node.args.is_empty() {
        return Err(Error::Arguments(line, name()));
    }
    let of = node.expr.as_ref().ok_or(Error::Expression(line))?;
    if is_all(of) && filter == Filter::ToJson {
        return Ok(Expression::AllAsJson);
    }
    Ok(Expression::Filtered(
        filter,
        Box::new(expression(of)?),
        line,
    ))
}

fn is_all(expression: &ast::Expr<'_>) -> bool {
    matches!(expression, ast::Expr::Var(name) if name.id == ALL_KEYS)
}

/// A name of the template's text, as an error shows it.
fn shown(name: &str) -> String {
    name[..name.floor_char_boundary(LONGEST_NAME)].to_owned()
}

#[cfg(test)]
mod tests;
