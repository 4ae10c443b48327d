//! Owns the tree of a query. Invariant: it holds what the text says and nothing of how it was laid out; spans are bytes of the text.

use crate::syntax::sql::parts::{Name, Part, Span, Type};

/// A query: `WITH … body ORDER BY … LIMIT …`.
#[derive(Debug, Clone)]
pub struct Query {
    /// Whether it says `WITH RECURSIVE`.
    pub recursive: bool,
    /// The queries named in `WITH`.
    pub with: Vec<(Name, Query)>,
    /// What it selects.
    pub body: Body,
    /// Its order.
    pub order_by: Vec<Order>,
    /// At most so many rows.
    pub limit: Option<Expr>,
    /// After so many.
    pub offset: Option<Expr>,
}

/// What a query selects.
#[derive(Debug, Clone)]
pub enum Body {
    /// One `SELECT`.
    Select(Box<Select>),
    /// A query in parentheses.
    Query(Box<Query>),
    /// Two bodies, put together.
    Set {
        /// `UNION ALL`, `UNION DISTINCT`, `INTERSECT DISTINCT` or `EXCEPT DISTINCT`.
        op: &'static str,
        /// The first.
        left: Box<Body>,
        /// The second.
        right: Box<Body>,
    },
}

/// One `SELECT`.
#[derive(Debug, Clone)]
pub struct Select {
    /// Whether it says `DISTINCT`.
    pub distinct: bool,
    /// Whether it says `AS STRUCT`.
    pub as_struct: bool,
    /// What it selects.
    pub items: Vec<Item>,
    /// From where.
    pub from: Option<Relation>,
    /// Which rows.
    pub filter: Option<Expr>,
    /// In which groups.
    pub group_by: Option<GroupBy>,
    /// Which groups.
    pub having: Option<Expr>,
    /// Which rows, after window functions.
    pub qualify: Option<Expr>,
    /// Windows by name.
    pub windows: Vec<(Name, Window)>,
}

/// One item of a `SELECT` list.
#[derive(Debug, Clone)]
pub enum Item {
    /// An expression, perhaps named.
    Expr {
        /// The expression.
        expr: Expr,
        /// Its name.
        alias: Option<Name>,
    },
    /// `*` or `x.*`.
    Star {
        /// The `x` of `x.*`.
        of: Option<Expr>,
        /// Columns left out.
        except: Vec<Name>,
        /// Columns given other values.
        replace: Vec<(Expr, Name)>,
        /// Where it stands.
        span: Span,
    },
}

/// `GROUP BY`.
#[derive(Debug, Clone)]
pub enum GroupBy {
    /// By expressions, names or numbers of the `SELECT` list.
    Keys(Vec<Expr>),
    /// `GROUP BY ROLLUP(…)`.
    Rollup(Vec<Expr>),
    /// `GROUP BY ALL`.
    All,
}

/// What stands after `FROM`.
#[derive(Debug, Clone)]
pub enum Relation {
    /// A table or a `WITH` query.
    Table {
        /// Its name: one part for a `WITH` query, more for a table.
        path: Vec<Name>,
        /// What it is called here.
        alias: Option<Name>,
        /// Where the path stands.
        span: Span,
    },
    /// A query in parentheses.
    Query {
        /// The query.
        query: Box<Query>,
        /// What it is called here.
        alias: Option<Name>,
    },
    /// `UNNEST(array)`.
    Unnest {
        /// The array.
        array: Expr,
        /// What an element is called.
        alias: Option<Name>,
        /// What its position is called, where `WITH OFFSET` asks for it.
        offset: Option<Name>,
    },
    /// A join in parentheses.
    Nested(Box<Relation>),
    /// Two relations.
    Join {
        /// The first.
        left: Box<Relation>,
        /// The second.
        right: Box<Relation>,
        /// `CROSS`, `INNER`, `LEFT`, `RIGHT` or `FULL`.
        kind: &'static str,
        /// Which rows belong together.
        on: On,
    },
}

/// Which rows of a join belong together.
#[derive(Debug, Clone)]
pub enum On {
    /// All with all.
    Nothing,
    /// Those for which it is true.
    Expr(Expr),
    /// Those with the same values in these columns.
    Using(Vec<Name>),
}

/// One key of an order.
#[derive(Debug, Clone)]
pub struct Order {
    /// The key.
    pub expr: Expr,
    /// From the greatest down.
    pub descending: bool,
    /// Where NULLs stand; BigQuery puts them first when ascending and last when descending.
    pub nulls_first: Option<bool>,
}

/// An expression, and where it stands.
#[derive(Debug, Clone)]
pub struct Expr {
    /// What it is.
    pub kind: ExprKind,
    /// Where it stands.
    pub span: Span,
}

/// What an expression is.
#[derive(Debug, Clone)]
pub enum ExprKind {
    /// `NULL`
    Null,
    /// `TRUE` or `FALSE`
    Bool(bool),
    /// A whole number, as decimal digits.
    Int(String),
    /// A float, as written.
    Float(String),
    /// A string.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A literal with its type before it: `DATE '2019-01-03'`.
    Typed(&'static str, String),
    /// A named parameter.
    Param(String),
    /// A column, perhaps with table or field names: `t.x`.
    Column(Vec<Name>),
    /// A field of a struct.
    Field(Box<Expr>, Name),
    /// An element of an array.
    Element {
        /// The array.
        array: Box<Expr>,
        /// `OFFSET`, `ORDINAL`, `SAFE_OFFSET`, `SAFE_ORDINAL`, or `""` for a plain `[i]`.
        by: &'static str,
        /// Which.
        index: Box<Expr>,
    },
    /// `-`, `+`, `~` or `NOT` before an expression.
    Unary(&'static str, Box<Expr>),
    /// An operator between two.
    Binary(&'static str, Box<Expr>, Box<Expr>),
    /// `IS [NOT] NULL`, `TRUE`, `FALSE`.
    Is {
        /// What is tested.
        expr: Box<Expr>,
        /// Whether it says `NOT`.
        not: bool,
        /// `NULL`, `TRUE` or `FALSE`.
        what: &'static str,
    },
    /// `IS [NOT] DISTINCT FROM`
    Distinct {
        /// The two compared.
        pair: Box<(Expr, Expr)>,
        /// Whether it says `NOT`.
        not: bool,
    },
    /// `[NOT] BETWEEN low AND high`
    Between {
        /// What is tested.
        expr: Box<Expr>,
        /// Whether it says `NOT`.
        not: bool,
        /// From and to, both included.
        range: Box<(Expr, Expr)>,
    },
    /// `[NOT] LIKE pattern`
    Like {
        /// What is tested.
        expr: Box<Expr>,
        /// Whether it says `NOT`.
        not: bool,
        /// The pattern.
        pattern: Box<Expr>,
    },
    /// `[NOT] IN (…)`
    In {
        /// What is looked for.
        expr: Box<Expr>,
        /// Whether it says `NOT`.
        not: bool,
        /// Where.
        set: InSet,
    },
    /// `EXISTS (query)`
    Exists(Box<Query>),
    /// A query in parentheses, for its one value.
    Scalar(Box<Query>),
    /// `ARRAY(query)`
    ArrayQuery(Box<Query>),
    /// `CASE … END`
    Case {
        /// What is compared, in the short form.
        operand: Option<Box<Expr>>,
        /// Conditions and values.
        whens: Vec<(Expr, Expr)>,
        /// The value where none holds.
        otherwise: Option<Box<Expr>>,
    },
    /// `CAST(x AS type)`, `SAFE_CAST(x AS type)`
    Cast {
        /// What is converted.
        expr: Box<Expr>,
        /// Into what.
        to: Type,
        /// Whether a value that does not convert becomes NULL.
        safe: bool,
    },
    /// `EXTRACT(part FROM x)`
    Extract {
        /// Which part.
        part: Part,
        /// Of what.
        from: Box<Expr>,
    },
    /// `INTERVAL n part`
    Interval {
        /// How many.
        value: Box<Expr>,
        /// Of what.
        part: Part,
    },
    /// `[a, b]`, `ARRAY<type>[a, b]`
    Array {
        /// The type, where it is given.
        of: Option<Type>,
        /// The elements.
        items: Vec<Expr>,
    },
    /// `STRUCT(a AS x, …)`, `STRUCT<x INT64>(…)` or `(a, b)`
    Struct {
        /// The fields' types, where they are given.
        fields: Option<Vec<(Option<Name>, Type)>>,
        /// The values, perhaps named.
        items: Vec<(Expr, Option<Name>)>,
    },
    /// A function.
    Call(Box<Call>),
}

/// Where `IN` looks.
#[derive(Debug, Clone)]
pub enum InSet {
    /// A list of values.
    List(Vec<Expr>),
    /// The rows of a query.
    Query(Box<Query>),
    /// The elements of an array.
    Unnest(Box<Expr>),
}

/// A call of a function.
#[derive(Debug, Clone)]
pub struct Call {
    /// The function's name in capitals, with what stands before a dot (`SAFE.`) left off.
    pub name: String,
    /// Where the name stands.
    pub name_span: Span,
    /// Whether `SAFE.` stands before it.
    pub safe: bool,
    /// Whether it is called as `f(*)`.
    pub star: bool,
    /// Its arguments.
    pub args: Vec<Expr>,
    /// `DISTINCT`
    pub distinct: bool,
    /// `IGNORE NULLS` (true) or `RESPECT NULLS` (false).
    pub ignore_nulls: Option<bool>,
    /// `ORDER BY` inside the call.
    pub order_by: Vec<Order>,
    /// `LIMIT` inside the call.
    pub limit: Option<Expr>,
    /// `OVER …`
    pub over: Option<Window>,
}

/// A window: `OVER (…)` or the name of one.
#[derive(Debug, Clone)]
pub struct Window {
    /// The window it starts from.
    pub base: Option<Name>,
    /// Whether it is only a name, without parentheses.
    pub only_name: bool,
    /// Rows of one partition.
    pub partition_by: Vec<Expr>,
    /// Their order.
    pub order_by: Vec<Order>,
    /// Which of them.
    pub frame: Option<Frame>,
}

/// Which rows of a partition.
#[derive(Debug, Clone)]
pub struct Frame {
    /// `ROWS` or `RANGE`
    pub unit: &'static str,
    /// The first.
    pub from: Bound,
    /// The last; `None` for the short form, which ends at the current row.
    pub to: Option<Bound>,
}

/// An end of a frame.
#[derive(Debug, Clone)]
pub enum Bound {
    /// `UNBOUNDED PRECEDING` or `UNBOUNDED FOLLOWING`
    Unbounded(&'static str),
    /// `CURRENT ROW`
    Current,
    /// `n PRECEDING` or `n FOLLOWING`
    Offset(Box<Expr>, &'static str),
}
