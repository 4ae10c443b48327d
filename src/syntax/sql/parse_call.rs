//! Owns the grammar of what starts with a word: names, functions, casts, types and literals with a type. Invariant: a function's name is
//! kept in capitals, so that its case never counts.

use crate::syntax::sql::ast::{Call, Expr, ExprKind};
use crate::syntax::sql::error::{SqlError, unsupported};
use crate::syntax::sql::lex::is_reserved;
use crate::syntax::sql::parse::Parser;
use crate::syntax::sql::parts::{Name, Part, Type};
use crate::syntax::sql::token::Kind;

/// Types by every name they go by.
const TYPES: &[(&str, &str)] = &[
    ("INT64", "INT64"),
    ("INT", "INT64"),
    ("SMALLINT", "INT64"),
    ("INTEGER", "INT64"),
    ("BIGINT", "INT64"),
    ("TINYINT", "INT64"),
    ("BYTEINT", "INT64"),
    ("FLOAT64", "FLOAT64"),
    ("NUMERIC", "NUMERIC"),
    ("DECIMAL", "NUMERIC"),
    ("BIGNUMERIC", "BIGNUMERIC"),
    ("BIGDECIMAL", "BIGNUMERIC"),
    ("BOOL", "BOOL"),
    ("BOOLEAN", "BOOL"),
    ("STRING", "STRING"),
    ("BYTES", "BYTES"),
    ("DATE", "DATE"),
    ("DATETIME", "DATETIME"),
    ("TIME", "TIME"),
    ("TIMESTAMP", "TIMESTAMP"),
    ("JSON", "JSON"),
    ("GEOGRAPHY", "GEOGRAPHY"),
    ("INTERVAL", "INTERVAL"),
];

/// Types whose name may stand before a string literal.
const TYPED: &[&str] = &["DATE", "DATETIME", "TIME", "TIMESTAMP", "NUMERIC", "DECIMAL", "BIGNUMERIC", "BIGDECIMAL", "JSON"];

/// Reserved words that are functions where a parenthesis follows.
const RESERVED_CALLS: &[&str] = &["IF", "LEFT", "RIGHT", "GROUPING", "COLLATE"];

/// Functions that may stand without parentheses.
const BARE_CALLS: &[&str] = &["CURRENT_DATE", "CURRENT_TIMESTAMP", "CURRENT_DATETIME", "CURRENT_TIME"];

impl Parser<'_> {
    pub(super) fn primary(&mut self) -> Result<Expr, SqlError> {
        if let Some(literal) = self.literal()? {
            return Ok(literal);
        }
        let start = self.span().start;
        match self.token().kind.clone() {
            Kind::Symbol("(") => self.parenthesised_expr(),
            Kind::Symbol("[") => self.array(None, start),
            Kind::Quoted(_) => self.path(start),
            Kind::Word(word) => self.word(&word.to_ascii_uppercase(), start),
            _ => Err(self.expected("an expression")),
        }
    }

    fn word(&mut self, word: &str, start: usize) -> Result<Expr, SqlError> {
        let opens = matches!(self.ahead(1).kind, Kind::Symbol("("));
        let typed = TYPED.contains(&word).then(|| type_name(word)).flatten();
        match word {
            "CASE" => self.case(start),
            "CAST" | "SAFE_CAST" if opens => self.cast(word == "SAFE_CAST", start),
            "EXTRACT" if opens => self.extract(start),
            "EXISTS" if opens => {
                self.next();
                let query = self.query_in_parentheses()?;
                Ok(self.made(start, ExprKind::Exists(query)))
            }
            "INTERVAL" => self.interval(start),
            "ARRAY" => self.array_word(start),
            "STRUCT" => self.struct_word(start),
            _ if typed.is_some() && matches!(self.ahead(1).kind, Kind::Text(_)) => {
                self.next();
                let Kind::Text(text) = self.next().kind else { return Err(self.expected("a string")) };
                Ok(self.made(start, ExprKind::Typed(typed.unwrap_or("DATE"), text)))
            }
            _ if opens && RESERVED_CALLS.contains(&word) => {
                let name_span = self.next().span;
                self.call(word.to_owned(), name_span, false, start)
            }
            _ if !opens && BARE_CALLS.contains(&word) => {
                let name_span = self.next().span;
                let call = Call::plain(word.to_owned(), name_span, Vec::new());
                Ok(self.made(start, ExprKind::Call(Box::new(call))))
            }
            _ if is_reserved(word) => Err(self.expected("an expression")),
            _ => self.path(start),
        }
    }

    /// A column with what stands before it, or a function with its prefix.
    fn path(&mut self, start: usize) -> Result<Expr, SqlError> {
        let mut path = vec![self.name("a column")?];
        while self.is_symbol(".") && matches!(self.ahead(1).kind, Kind::Word(_) | Kind::Quoted(_)) {
            self.next();
            path.push(self.field_name()?);
        }
        if !self.is_symbol("(") {
            return Ok(self.made(start, ExprKind::Column(path)));
        }
        let name_span = self.since(start);
        let safe = path.len() == 2 && path[0].text.eq_ignore_ascii_case("SAFE");
        let parts = if safe { &path[1..] } else { &path[..] };
        let name = parts.iter().map(|n| n.text.to_ascii_uppercase()).collect::<Vec<_>>().join(".");
        self.call(name, name_span, safe, start)
    }

    /// A function's arguments and what may follow them; the name is taken already.
    fn call(&mut self, name: String, name_span: std::ops::Range<usize>, safe: bool, start: usize) -> Result<Expr, SqlError> {
        self.expect_symbol("(")?;
        let mut call = Call { safe, ..Call::plain(name, name_span, Vec::new()) };
        if self.is_symbol("*") {
            self.next();
            call.star = true;
        } else if !self.is_symbol(")") {
            call.distinct = self.accept(&["DISTINCT"]);
            call.args = self.list(Self::argument)?;
            self.modifiers(&mut call)?;
        }
        self.expect_symbol(")")?;
        if self.accept(&["OVER"]) {
            call.over = Some(self.window()?);
        }
        Ok(self.made(start, ExprKind::Call(Box::new(call))))
    }

    fn argument(&mut self) -> Result<Expr, SqlError> {
        if matches!(self.ahead(1).kind, Kind::Symbol("=>")) {
            return Err(unsupported("a named argument '=>'", None).at(self.span()));
        }
        if self.is("SELECT") || self.is("WITH") {
            return Err(self.expected("'(' before a query used as an argument"));
        }
        self.expr()
    }

    fn modifiers(&mut self, call: &mut Call) -> Result<(), SqlError> {
        if self.accept(&["IGNORE", "NULLS"]) {
            call.ignore_nulls = Some(true);
        } else if self.accept(&["RESPECT", "NULLS"]) {
            call.ignore_nulls = Some(false);
        }
        if self.is("HAVING") {
            return Err(unsupported("HAVING MAX or HAVING MIN in a call", Some("use QUALIFY ROW_NUMBER()")).at(self.span()));
        }
        if self.accept(&["ORDER", "BY"]) {
            call.order_by = self.list(Self::order)?;
        }
        if self.accept(&["LIMIT"]) {
            call.limit = Some(self.expr()?);
        }
        Ok(())
    }

    fn query_in_parentheses(&mut self) -> Result<Box<crate::syntax::sql::ast::Query>, SqlError> {
        self.expect_symbol("(")?;
        let query = self.query()?;
        self.expect_symbol(")")?;
        Ok(Box::new(query))
    }

    fn case(&mut self, start: usize) -> Result<Expr, SqlError> {
        self.next();
        let operand = if self.is("WHEN") { None } else { Some(Box::new(self.expr()?)) };
        let mut whens = Vec::new();
        while self.accept(&["WHEN"]) {
            let condition = self.expr()?;
            self.expect(&["THEN"])?;
            whens.push((condition, self.expr()?));
        }
        if whens.is_empty() {
            return Err(self.expected("WHEN"));
        }
        let otherwise = if self.accept(&["ELSE"]) { Some(Box::new(self.expr()?)) } else { None };
        self.expect(&["END"])?;
        Ok(self.made(start, ExprKind::Case { operand, whens, otherwise }))
    }

    fn cast(&mut self, safe: bool, start: usize) -> Result<Expr, SqlError> {
        self.next();
        self.expect_symbol("(")?;
        let expr = Box::new(self.expr()?);
        self.expect(&["AS"])?;
        let to = self.data_type()?;
        if self.is("FORMAT") {
            return Err(unsupported("CAST with FORMAT", Some("use FORMAT_DATE or PARSE_DATE")).at(self.span()));
        }
        self.expect_symbol(")")?;
        Ok(self.made(start, ExprKind::Cast { expr, to, safe }))
    }

    fn extract(&mut self, start: usize) -> Result<Expr, SqlError> {
        self.next();
        self.expect_symbol("(")?;
        let part = self.part()?;
        self.expect(&["FROM"])?;
        let from = Box::new(self.expr()?);
        if self.is("AT") {
            return Err(unsupported("AT TIME ZONE", Some("convert the time before")).at(self.span()));
        }
        self.expect_symbol(")")?;
        Ok(self.made(start, ExprKind::Extract { part, from }))
    }

    fn interval(&mut self, start: usize) -> Result<Expr, SqlError> {
        self.next();
        let value = Box::new(self.expr()?);
        let part = self.part()?;
        if self.is("TO") {
            return Err(unsupported("an interval over several parts", Some("add one part after another")).at(self.span()));
        }
        Ok(self.made(start, ExprKind::Interval { value, part }))
    }

    fn part(&mut self) -> Result<Part, SqlError> {
        let start = self.span().start;
        let Kind::Word(word) = self.token().kind.clone() else { return Err(self.expected("a part of a date such as MONTH")) };
        self.next();
        let weekday = if self.symbol("(") {
            let Kind::Word(day) = self.token().kind.clone() else { return Err(self.expected("a weekday")) };
            self.next();
            self.expect_symbol(")")?;
            Some(day.to_ascii_uppercase())
        } else {
            None
        };
        Ok(Part { name: word.to_ascii_uppercase(), weekday, span: self.since(start) })
    }

    fn array_word(&mut self, start: usize) -> Result<Expr, SqlError> {
        self.next();
        if self.is_symbol("(") {
            let query = self.query_in_parentheses()?;
            return Ok(self.made(start, ExprKind::ArrayQuery(query)));
        }
        let of = if self.symbol("<") {
            let of = self.data_type()?;
            self.expect_symbol(">")?;
            Some(of)
        } else {
            None
        };
        self.array(of, start)
    }

    fn array(&mut self, of: Option<Type>, start: usize) -> Result<Expr, SqlError> {
        self.expect_symbol("[")?;
        let items = if self.is_symbol("]") { Vec::new() } else { self.list(Self::expr)? };
        self.expect_symbol("]")?;
        Ok(self.made(start, ExprKind::Array { of, items }))
    }

    fn struct_word(&mut self, start: usize) -> Result<Expr, SqlError> {
        self.next();
        let fields = if self.is_symbol("<") { Some(self.struct_fields()?) } else { None };
        self.expect_symbol("(")?;
        let items = if self.is_symbol(")") {
            Vec::new()
        } else {
            self.list(|p| {
                let expr = p.expr()?;
                let name = if p.accept(&["AS"]) { Some(p.name("a field's name")?) } else { None };
                Ok((expr, name))
            })?
        };
        self.expect_symbol(")")?;
        Ok(self.made(start, ExprKind::Struct { fields, items }))
    }

    fn struct_fields(&mut self) -> Result<Vec<(Option<Name>, Type)>, SqlError> {
        self.expect_symbol("<")?;
        let fields = self.list(|p| {
            let named = matches!(p.ahead(1).kind, Kind::Word(_) | Kind::Quoted(_));
            let name = if named { Some(p.field_name()?) } else { None };
            Ok((name, p.data_type()?))
        })?;
        self.expect_symbol(">")?;
        Ok(fields)
    }

    pub(super) fn data_type(&mut self) -> Result<Type, SqlError> {
        let Kind::Word(word) = self.token().kind.clone() else { return Err(self.expected("a type")) };
        let start = self.span().start;
        let word = word.to_ascii_uppercase();
        match word.as_str() {
            "ARRAY" => {
                self.next();
                self.expect_symbol("<")?;
                let item = self.deeper(Self::data_type)?;
                self.expect_symbol(">")?;
                Ok(Type::Array(Box::new(item)))
            }
            "STRUCT" => {
                self.next();
                self.deeper(Self::struct_fields).map(Type::Struct)
            }
            _ => {
                let name = type_name(&word).ok_or_else(|| self.expected("a type"))?;
                self.next();
                if self.is_symbol("(") {
                    let instead = Some("leave the length out");
                    return Err(unsupported(format!("{word} with a length"), instead).at(self.since(start)));
                }
                Ok(Type::Plain(name))
            }
        }
    }
}

impl Call {
    /// A call with arguments and nothing else.
    #[must_use]
    pub fn plain(name: String, name_span: std::ops::Range<usize>, args: Vec<Expr>) -> Self {
        Self {
            name,
            name_span,
            safe: false,
            star: false,
            args,
            distinct: false,
            ignore_nulls: None,
            order_by: Vec::new(),
            limit: None,
            over: None,
        }
    }
}

fn type_name(word: &str) -> Option<&'static str> {
    TYPES.iter().find(|(name, _)| *name == word).map(|(_, main)| *main)
}
