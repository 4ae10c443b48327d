//! Owns the language of `where`. Invariant: a condition has no effect and no default: an unknown name or a comparison of unlike types is an
//! error, never false.
//!
//! `horizon.rows >= 20 and learner != 'xgboost'`: names with fields, numbers, 'text', true, false, lists in brackets;
//! `== != < <= > >= in`, `not in`, `not`, `and`, `or`, parentheses. `and` binds tighter than `or`, `not` tighter than both.

use std::cmp::Ordering;
use std::ops::Range;

use serde_json::Value;

use crate::syntax::error::Fault;
use crate::syntax::interpolate::{PartFault, Scope};

const DEEPEST: usize = 64;

/// A condition that has been read.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition(Node);

#[derive(Debug, Clone, PartialEq)]
struct Node {
    range: Range<usize>,
    what: What,
}

#[derive(Debug, Clone, PartialEq)]
enum What {
    Literal(Value),
    Path(String),
    List(Vec<Node>),
    Not(Box<Node>),
    Both(Box<Node>, Box<Node>),
    Any(Box<Node>, Box<Node>),
    Compare(Box<Node>, Operator, Box<Node>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equal,
    Unequal,
    Less,
    AtMost,
    More,
    AtLeast,
    In,
    NotIn,
}

/// Reads a condition.
///
/// # Errors
/// Where it is not one, at the range that could not be read.
pub fn parse(text: &str) -> Result<Condition, PartFault> {
    let mut parser = Parser { tokens: tokens(text)?, next: 0, depth: 0, end: text.len() };
    let node = parser.any()?;
    match parser.peek() {
        None => Ok(Condition(node)),
        Some(token) => Err(problem(token.range.clone(), format!("'{}' was not expected here", &text[token.range.clone()]))),
    }
}

impl Condition {
    /// Whether it holds for the values in scope.
    ///
    /// # Errors
    /// On unknown names and on comparisons of unlike types.
    pub fn holds(&self, scope: Scope) -> Result<bool, PartFault> {
        truth(&self.0, scope)
    }

    /// The names it looks at, in the order in which they stand, each as often as it does.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        let mut names = Vec::new();
        collect(&self.0, &mut names);
        names
    }
}

fn collect<'a>(node: &'a Node, names: &mut Vec<&'a str>) {
    match &node.what {
        What::Literal(_) => {}
        What::Path(path) => names.push(path),
        What::List(items) => items.iter().for_each(|item| collect(item, names)),
        What::Not(inner) => collect(inner, names),
        What::Both(left, right) | What::Any(left, right) | What::Compare(left, _, right) => {
            collect(left, names);
            collect(right, names);
        }
    }
}

fn problem(range: Range<usize>, problem: impl Into<String>) -> PartFault {
    (range, Fault::Condition { problem: problem.into() })
}

#[derive(Debug, Clone, PartialEq)]
struct Token<'a> {
    range: Range<usize>,
    what: Lexeme<'a>,
}

#[derive(Debug, Clone, PartialEq)]
enum Lexeme<'a> {
    Word(&'a str),
    Sign(&'a str),
    Literal(Value),
}

fn tokens(text: &str) -> Result<Vec<Token<'_>>, PartFault> {
    const SIGNS: [&str; 11] = ["==", "!=", "<=", ">=", "<", ">", "(", ")", "[", "]", ","];
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        let rest = &text[at..];
        let (length, what) = if first.is_whitespace() {
            at += first.len_utf8();
            continue;
        } else if let Some(quoted) = rest.strip_prefix('\'') {
            let Some(length) = quoted.find('\'') else { return Err(problem(at..text.len(), "a text that is not closed with '")) };
            (length + 2, Lexeme::Literal(Value::from(&quoted[..length])))
        } else if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            (sign.len(), Lexeme::Sign(sign))
        } else if first.is_ascii_digit() || first == '-' {
            let length = rest.find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '.' | '-' | '+' | '_')).unwrap_or(rest.len());
            let number = serde_json::from_str::<serde_json::Number>(&rest[..length].replace('_', ""));
            let Ok(number) = number else {
                return Err(problem(
                    at..at + length,
                    format!("'{}' is not a number (a date or a text stands in quotes: '…')", &rest[..length]),
                ));
            };
            (length, Lexeme::Literal(Value::Number(number)))
        } else if first.is_ascii_alphabetic() || first == '_' {
            let length = rest.find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '.' | '-' | '_')).unwrap_or(rest.len());
            (length, Lexeme::Word(&rest[..length]))
        } else {
            let hint = if first == '=' { "equality is written ==" } else { "this character means nothing here" };
            return Err(problem(at..at + first.len_utf8(), hint));
        };
        tokens.push(Token { range: at..at + length, what });
        at += length;
    }
    Ok(tokens)
}

struct Parser<'a> {
    tokens: Vec<Token<'a>>,
    next: usize,
    depth: usize,
    end: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<&Token<'a>> {
        self.tokens.get(self.next)
    }

    fn take(&mut self, wanted: &Lexeme) -> bool {
        let found = self.peek().is_some_and(|token| token.what == *wanted);
        self.next += usize::from(found);
        found
    }

    fn expect(&mut self, sign: &'static str) -> Result<(), PartFault> {
        if self.take(&Lexeme::Sign(sign)) { Ok(()) } else { Err(problem(self.here(), format!("'{sign}' is missing"))) }
    }

    fn here(&self) -> Range<usize> {
        self.peek().map_or(self.end.saturating_sub(1)..self.end, |token| token.range.clone())
    }

    fn any(&mut self) -> Result<Node, PartFault> {
        let mut left = self.both()?;
        while self.take(&Lexeme::Word("or")) {
            let right = self.both()?;
            left = joined(left, right, What::Any);
        }
        Ok(left)
    }

    fn both(&mut self) -> Result<Node, PartFault> {
        let mut left = self.not()?;
        while self.take(&Lexeme::Word("and")) {
            let right = self.not()?;
            left = joined(left, right, What::Both);
        }
        Ok(left)
    }

    fn not(&mut self) -> Result<Node, PartFault> {
        let start = self.here().start;
        if !self.take(&Lexeme::Word("not")) {
            return self.comparison();
        }
        let inner = self.deeper(Self::not)?;
        Ok(Node { range: start..inner.range.end, what: What::Not(Box::new(inner)) })
    }

    fn comparison(&mut self) -> Result<Node, PartFault> {
        let left = self.operand()?;
        let Some(operator) = self.operator() else { return Ok(left) };
        let right = self.operand()?;
        Ok(joined(left, right, |left, right| What::Compare(left, operator, right)))
    }

    fn operator(&mut self) -> Option<Operator> {
        let operator = match &self.peek()?.what {
            Lexeme::Sign("==") => Operator::Equal,
            Lexeme::Sign("!=") => Operator::Unequal,
            Lexeme::Sign("<") => Operator::Less,
            Lexeme::Sign("<=") => Operator::AtMost,
            Lexeme::Sign(">") => Operator::More,
            Lexeme::Sign(">=") => Operator::AtLeast,
            Lexeme::Word("in") => Operator::In,
            Lexeme::Word("not") if matches!(self.tokens.get(self.next + 1)?.what, Lexeme::Word("in")) => {
                self.next += 1;
                Operator::NotIn
            }
            _ => return None,
        };
        self.next += 1;
        Some(operator)
    }

    fn operand(&mut self) -> Result<Node, PartFault> {
        let Some(token) = self.peek().cloned() else { return Err(problem(self.here(), "a value is missing at the end")) };
        self.next += 1;
        let what = match token.what {
            Lexeme::Literal(value) => What::Literal(value),
            Lexeme::Word("true") => What::Literal(Value::Bool(true)),
            Lexeme::Word("false") => What::Literal(Value::Bool(false)),
            Lexeme::Word(word) if !matches!(word, "and" | "or" | "not" | "in") => What::Path(word.to_owned()),
            Lexeme::Sign("(") => {
                let inner = self.deeper(Self::any)?;
                self.expect(")")?;
                return Ok(inner);
            }
            Lexeme::Sign("[") => What::List(self.items()?),
            _ => return Err(problem(token.range, "a value was expected here")),
        };
        Ok(Node { range: token.range, what })
    }

    fn items(&mut self) -> Result<Vec<Node>, PartFault> {
        let mut items = Vec::new();
        while !self.take(&Lexeme::Sign("]")) {
            if !items.is_empty() {
                self.expect(",")?;
            }
            items.push(self.deeper(Self::operand)?);
        }
        Ok(items)
    }

    fn deeper(&mut self, read: fn(&mut Self) -> Result<Node, PartFault>) -> Result<Node, PartFault> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(problem(self.here(), "it is nested too deeply"));
        }
        let node = read(self);
        self.depth -= 1;
        node
    }
}

fn joined(left: Node, right: Node, make: impl FnOnce(Box<Node>, Box<Node>) -> What) -> Node {
    Node { range: left.range.start..right.range.end, what: make(Box::new(left), Box::new(right)) }
}

fn truth(node: &Node, scope: Scope) -> Result<bool, PartFault> {
    match &node.what {
        What::Not(inner) => Ok(!truth(inner, scope)?),
        What::Both(left, right) => Ok(truth(left, scope)? && truth(right, scope)?),
        What::Any(left, right) => Ok(truth(left, scope)? || truth(right, scope)?),
        What::Compare(left, operator, right) => {
            compare(&value(left, scope)?, *operator, &value(right, scope)?).map_err(|why| problem(node.range.clone(), why))
        }
        _ => match value(node, scope)? {
            Value::Bool(truth) => Ok(truth),
            other => Err(problem(node.range.clone(), format!("{} is neither true nor false", kind(&other)))),
        },
    }
}

fn value(node: &Node, scope: Scope) -> Result<Value, PartFault> {
    match &node.what {
        What::Literal(value) => Ok(value.clone()),
        What::Path(path) => scope.lookup(path).cloned().map_err(|fault| (node.range.clone(), fault)),
        What::List(items) => items.iter().map(|item| value(item, scope)).collect(),
        _ => truth(node, scope).map(Value::Bool),
    }
}

fn compare(left: &Value, operator: Operator, right: &Value) -> Result<bool, String> {
    let order = || order(left, right)?.ok_or_else(|| format!("{} has no order", kind(left)));
    match operator {
        Operator::Equal => same(left, right),
        Operator::Unequal => same(left, right).map(|same| !same),
        Operator::Less => order().map(Ordering::is_lt),
        Operator::AtMost => order().map(Ordering::is_le),
        Operator::More => order().map(Ordering::is_gt),
        Operator::AtLeast => order().map(Ordering::is_ge),
        Operator::In => contains(right, left),
        Operator::NotIn => contains(right, left).map(|inside| !inside),
    }
}

fn contains(list: &Value, item: &Value) -> Result<bool, String> {
    let Value::Array(items) = list else { return Err(format!("'in' needs a list, found {}", kind(list))) };
    items.iter().try_fold(false, |found, other| Ok(found || same(item, other)?))
}

fn same(left: &Value, right: &Value) -> Result<bool, String> {
    if kind(left) != kind(right) {
        return Err(unlike(left, right));
    }
    Ok(order(left, right)?.map_or_else(|| left == right, Ordering::is_eq))
}

/// How two values are ordered, where values of their type are.
fn order(left: &Value, right: &Value) -> Result<Option<Ordering>, String> {
    match (left, right) {
        (Value::Number(a), Value::Number(b)) => match (a.as_i64(), b.as_i64()) {
            (Some(a), Some(b)) => Ok(Some(a.cmp(&b))),
            _ => Ok(a.as_f64().zip(b.as_f64()).and_then(|(a, b)| a.partial_cmp(&b))),
        },
        (Value::String(a), Value::String(b)) => Ok(Some(a.cmp(b))),
        _ if kind(left) == kind(right) => Ok(None),
        _ => Err(unlike(left, right)),
    }
}

fn unlike(left: &Value, right: &Value) -> String {
    format!("{left} ({}) cannot be compared with {right} ({})", kind(left), kind(right))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a table",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn holds(text: &str) -> Result<bool, String> {
        let values = BTreeMap::from([
            ("horizon".to_owned(), json!({"name": "1m", "rows": 21, "from": "2015-01-02"})),
            ("learner".to_owned(), json!("lightgbm")),
            ("deep".to_owned(), json!(false)),
        ]);
        let said = |(part, fault): PartFault| format!("{}: {fault}", &text[part]);
        parse(text).map_err(said)?.holds(Scope(&[&values])).map_err(said)
    }

    #[test]
    fn conditions_mean_what_they_say() {
        for (text, expected) in [
            ("horizon.rows >= 20 and learner != 'xgboost'", true),
            ("horizon.rows < 20 or learner == 'lightgbm'", true),
            ("horizon.rows == 21.0", true),
            ("not deep", true),
            ("not (deep or horizon.rows > 20)", false),
            ("learner in ['lightgbm', 'xgboost']", true),
            ("learner not in ['lightgbm']", false),
            ("horizon.from < '2015-02-01'", true),
            ("horizon.name == '1m' and not deep == true", true),
            // `and` binds tighter than `or`.
            ("true or false and false", true),
            ("(true or false) and false", false),
            ("horizon.rows > -1.5e3", true),
        ] {
            assert_eq!(holds(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn a_condition_tells_the_names_it_looks_at() {
        let condition = parse("not (deep or horizon.rows in [1, most]) and 'text' != learner").unwrap();
        assert_eq!(condition.names(), ["deep", "horizon.rows", "most", "learner"]);
    }

    #[test]
    fn what_cannot_be_decided_is_refused_at_its_place() {
        for (text, expected) in [
            ("horizn.rows > 1", "horizn.rows: nothing here is called 'horizn'"),
            ("learner > 1", "learner > 1: in this condition: \"lightgbm\" (a text) cannot be compared with 1 (a number)"),
            ("learner", "learner: in this condition: a text is neither true nor false"),
            ("learner = 'x'", "=: in this condition: equality is written =="),
            ("learner == 'x", "'x: in this condition: a text that is not closed with '"),
            ("learner ==", "=: in this condition: a value is missing at the end"),
            ("(deep", "p: in this condition: ')' is missing"),
            ("deep deep", "deep: in this condition: 'deep' was not expected here"),
            ("learner in 'x'", "learner in 'x': in this condition: 'in' needs a list, found a text"),
            (
                "horizon.from < 2015-02-01",
                "2015-02-01: in this condition: '2015-02-01' is not a number (a date or a text stands in quotes: '…')",
            ),
            ("horizon < horizon", "horizon < horizon: in this condition: a table has no order"),
        ] {
            assert_eq!(holds(text), Err(expected.to_owned()), "{text}");
        }
        assert!(holds(&"(".repeat(100_000)).unwrap_err().contains("nested too deeply"));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[a-c.' ()<=!\\[\\],é0-9-]{0,16}|(not |deep |and |or |\\(|\\)){0,8}") {
            let _ = holds(&text);
        }
    }
}
