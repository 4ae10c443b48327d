//! A strict reader of the statements of BigQuery ML that cbi writes. Invariant: what Google's reference does not allow is refused, and what it allows
//! and cbi has no use for is refused too.
//!
//! References: bigqueryml-syntax-create-glm, -create-boosted-tree, -create-random-forest, -create-dnn-models, -predict and -export-model, below
//! <https://cloud.google.com/bigquery/docs/reference/standard-sql/>.

use std::collections::BTreeMap;

/// A statement, read.
#[derive(Debug, Clone, PartialEq)]
pub enum Statement {
    /// `CREATE OR REPLACE MODEL`.
    Create {
        /// The model.
        model: String,
        /// Options by name.
        options: BTreeMap<String, Literal>,
        /// Columns selected as they are.
        columns: Vec<String>,
        /// The rows.
        table: String,
        /// The values of `split` that are selected.
        parts: Vec<String>,
    },
    /// `SELECT … FROM ML.PREDICT(…)`.
    Predict {
        /// The model.
        model: String,
        /// Columns of the answer.
        answer: Vec<String>,
        /// Columns that are asked about.
        columns: Vec<String>,
        /// The rows.
        table: String,
    },
    /// `EXPORT MODEL`.
    Export {
        /// The model.
        model: String,
        /// Where to.
        uri: String,
    },
}

/// An option's value.
#[derive(Debug, Clone, PartialEq)]
pub enum Literal {
    Text(String),
    Number(f64),
    Bool(bool),
    List(Vec<Literal>),
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Word(String),
    Name(String),
    Text(String),
    Number(String),
    Sign(char),
}

/// What each option holds: `int`, `float`, `bool`, `ints`, `text`, or one of the words after it.
const COMMON: &str = "INPUT_LABEL_COLS texts; DATA_SPLIT_METHOD CUSTOM NO_SPLIT; DATA_SPLIT_COL text; ENABLE_GLOBAL_EXPLAIN bool; EARLY_STOP bool; \
    MIN_REL_PROGRESS float; L1_REG float; L2_REG float";
const TREES: &str = "NUM_PARALLEL_TREE int; MAX_TREE_DEPTH int; TREE_METHOD AUTO EXACT APPROX HIST; MIN_TREE_CHILD_WEIGHT int; COLSAMPLE_BYTREE float; \
    COLSAMPLE_BYLEVEL float; COLSAMPLE_BYNODE float; MIN_SPLIT_LOSS float; SUBSAMPLE float; INSTANCE_WEIGHT_COL text; XGBOOST_VERSION 0.9 1.1; \
    APPROX_GLOBAL_FEATURE_CONTRIB bool";
const BOOSTED: &str = "BOOSTER_TYPE GBTREE DART; DART_NORMALIZE_TYPE TREE FOREST; DROPOUT float; LEARN_RATE float; MAX_ITERATIONS int; \
    CATEGORY_ENCODING_METHOD ONE_HOT_ENCODING TARGET_ENCODING LABEL_ENCODING";
const LINEAR: &str = "OPTIMIZE_STRATEGY AUTO_STRATEGY BATCH_GRADIENT_DESCENT NORMAL_EQUATION; LEARN_RATE_STRATEGY LINE_SEARCH CONSTANT; LEARN_RATE float; \
    LS_INIT_LEARN_RATE float; CALCULATE_P_VALUES bool; FIT_INTERCEPT bool; CATEGORY_ENCODING_METHOD ONE_HOT_ENCODING DUMMY_ENCODING; MAX_ITERATIONS int";
const DNN: &str = "LEARN_RATE float; OPTIMIZER ADAGRAD ADAM FTRL RMSPROP SGD; ACTIVATION_FN RELU RELU6 CRELU ELU SELU SIGMOID TANH; BATCH_SIZE int; \
    DROPOUT float; HIDDEN_UNITS ints; INTEGRATED_GRADIENTS_NUM_STEPS int; TF_VERSION 1.15 2.8.0; MAX_ITERATIONS int";

/// Reads a statement.
pub fn read(sql: &str) -> Result<Statement, String> {
    let mut reader = Reader { tokens: tokens(sql)?, at: 0 };
    let statement = match reader.peek() {
        Some(Token::Word(word)) if word == "CREATE" => reader.create()?,
        Some(Token::Word(word)) if word == "EXPORT" => reader.export()?,
        _ => reader.predict()?,
    };
    if reader.at == reader.tokens.len() { Ok(statement) } else { Err(format!("more follows: {:?}", &reader.tokens[reader.at..])) }
}

fn tokens(sql: &str) -> Result<Vec<Token>, String> {
    let chars: Vec<char> = sql.chars().collect();
    let (mut tokens, mut at) = (Vec::new(), 0);
    while at < chars.len() {
        let begin = at;
        let run = |mut at: usize, of: &dyn Fn(char) -> bool| {
            while at < chars.len() && of(chars[at]) {
                at += 1;
            }
            at
        };
        match chars[at] {
            c if c.is_whitespace() => at += 1,
            quote @ ('`' | '\'') => {
                let mut text = String::new();
                at += 1;
                while *chars.get(at).ok_or("a quote is not closed")? != quote {
                    at += usize::from(chars[at] == '\\');
                    text.push(*chars.get(at).ok_or("a quote is not closed")?);
                    at += 1;
                }
                at += 1;
                tokens.push(if quote == '`' { Token::Name(text) } else { Token::Text(text) });
            }
            c if c.is_ascii_digit() || c == '-' => {
                at = run(at + 1, &|c| c.is_ascii_alphanumeric() || c == '.' || c == '-');
                tokens.push(Token::Number(chars[begin..at].iter().collect()));
            }
            c if c.is_ascii_alphabetic() || c == '_' => {
                at = run(at, &|c| c.is_ascii_alphanumeric() || c == '_');
                tokens.push(Token::Word(chars[begin..at].iter().collect()));
            }
            c if "(),=[].".contains(c) => {
                at += 1;
                tokens.push(Token::Sign(c));
            }
            c => return Err(format!("'{c}' stands nowhere in these statements")),
        }
    }
    Ok(tokens)
}

struct Reader {
    tokens: Vec<Token>,
    at: usize,
}

impl Reader {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn next(&mut self) -> Result<Token, String> {
        self.at += 1;
        self.tokens.get(self.at - 1).cloned().ok_or_else(|| "the statement ends too early".to_owned())
    }

    fn words(&mut self, words: &str) -> Result<(), String> {
        words.split(' ').try_for_each(|word| match self.next()? {
            Token::Word(found) if found == word => Ok(()),
            other => Err(format!("{word} is wanted, not {other:?}")),
        })
    }

    fn sign(&mut self, sign: char) -> Result<(), String> {
        let found = self.next()?;
        if found == Token::Sign(sign) { Ok(()) } else { Err(format!("'{sign}' is wanted, not {found:?}")) }
    }

    fn takes(&mut self, sign: char) -> bool {
        let there = self.peek() == Some(&Token::Sign(sign));
        self.at += usize::from(there);
        there
    }

    fn name(&mut self) -> Result<String, String> {
        match self.next()? {
            Token::Name(name) => Ok(name),
            other => Err(format!("a name is wanted, not {other:?}")),
        }
    }

    /// A path of three names within one pair of quotes.
    fn path(&mut self) -> Result<String, String> {
        let path = self.name()?;
        if path.split('.').count() == 3 { Ok(path) } else { Err(format!("'{path}' is not project.dataset.name")) }
    }

    fn text(&mut self) -> Result<String, String> {
        match self.next()? {
            Token::Text(text) => Ok(text),
            other => Err(format!("a text is wanted, not {other:?}")),
        }
    }

    fn literal(&mut self) -> Result<Literal, String> {
        Ok(match self.next()? {
            Token::Text(text) => Literal::Text(text),
            Token::Number(number) => Literal::Number(number.parse().map_err(|_| format!("'{number}' is no number"))?),
            Token::Word(word) if word == "TRUE" || word == "FALSE" => Literal::Bool(word == "TRUE"),
            Token::Sign('[') => {
                let mut items = vec![self.literal()?];
                while self.takes(',') {
                    items.push(self.literal()?);
                }
                self.sign(']')?;
                Literal::List(items)
            }
            other => return Err(format!("a value is wanted, not {other:?}")),
        })
    }

    fn create(&mut self) -> Result<Statement, String> {
        self.words("CREATE OR REPLACE MODEL")?;
        let model = self.path()?;
        self.words("OPTIONS")?;
        self.sign('(')?;
        let mut options = BTreeMap::new();
        loop {
            let Token::Word(name) = self.next()? else { return Err("an option has no name".into()) };
            self.sign('=')?;
            if options.insert(name.clone(), self.literal()?).is_some() {
                return Err(format!("{name} is given twice"));
            }
            if !self.takes(',') {
                break;
            }
        }
        self.sign(')')?;
        self.words("AS SELECT")?;
        let (mut columns, mut evaluated) = (Vec::new(), None);
        loop {
            let column = self.name()?;
            if self.takes('=') {
                let valid = self.text()?;
                self.words("AS")?;
                if (column.as_str(), valid.as_str()) != ("split", "valid") {
                    return Err(format!("rows are divided by {column} = '{valid}'"));
                }
                evaluated = Some(self.name()?);
            } else {
                columns.push(column);
            }
            if !self.takes(',') {
                break;
            }
        }
        self.words("FROM")?;
        let table = self.path()?;
        self.words("WHERE")?;
        if self.name()? != "split" {
            return Err("rows are chosen by something else than their split".into());
        }
        self.words("IN")?;
        self.sign('(')?;
        let mut parts = vec![self.text()?];
        while self.takes(',') {
            parts.push(self.text()?);
        }
        self.sign(')')?;
        check(&options, &columns, evaluated.as_deref())?;
        Ok(Statement::Create { model, options, columns, table, parts })
    }

    fn predict(&mut self) -> Result<Statement, String> {
        let list = |reader: &mut Self| {
            reader.words("SELECT")?;
            let mut columns = vec![reader.name()?];
            while reader.takes(',') {
                columns.push(reader.name()?);
            }
            reader.words("FROM")?;
            Ok::<_, String>(columns)
        };
        let answer = list(self)?;
        self.words("ML")?;
        self.sign('.')?;
        self.words("PREDICT")?;
        self.sign('(')?;
        self.words("MODEL")?;
        let model = self.path()?;
        self.sign(',')?;
        self.sign('(')?;
        let columns = list(self)?;
        let table = self.path()?;
        self.sign(')')?;
        self.sign(')')?;
        Ok(Statement::Predict { model, answer, columns, table })
    }

    fn export(&mut self) -> Result<Statement, String> {
        self.words("EXPORT MODEL")?;
        let model = self.path()?;
        self.words("OPTIONS")?;
        self.sign('(')?;
        self.words("URI")?;
        self.sign('=')?;
        let uri = self.text()?;
        self.sign(')')?;
        let sound = uri.strip_prefix("gs://").is_some_and(|rest| rest.contains('/') && !rest.starts_with('/'));
        if sound { Ok(Statement::Export { model, uri }) } else { Err(format!("'{uri}' is no address in a bucket")) }
    }
}

/// Whether every option is one of its type of model, with a value it may have, and rows are divided as it says.
fn check(options: &BTreeMap<String, Literal>, columns: &[String], evaluated: Option<&str>) -> Result<(), String> {
    let Some(Literal::Text(kind)) = options.get("MODEL_TYPE") else { return Err("there is no MODEL_TYPE".into()) };
    let lists: &[&str] = match kind.as_str() {
        "BOOSTED_TREE_REGRESSOR" => &[COMMON, TREES, BOOSTED],
        "RANDOM_FOREST_REGRESSOR" => &[COMMON, TREES],
        "LINEAR_REG" => &[COMMON, LINEAR],
        "DNN_REGRESSOR" => &[COMMON, DNN],
        other => return Err(format!("'{other}' is no type of model that regresses")),
    };
    let known: BTreeMap<&str, &str> =
        lists.iter().flat_map(|list| list.split(';')).filter_map(|entry| entry.trim().split_once(' ')).collect();
    for (name, value) in options.iter().filter(|(name, _)| *name != "MODEL_TYPE") {
        let want = known.get(name.as_str()).ok_or_else(|| format!("{kind} has no option {name}"))?;
        if !holds(want, value) {
            return Err(format!("{name} holds {want}, not {value:?}"));
        }
    }
    if options.get("INPUT_LABEL_COLS") != Some(&Literal::List(vec![Literal::Text("label".into())])) {
        return Err("the label is not said".into());
    }
    let weight = options.get("INSTANCE_WEIGHT_COL").is_none_or(|name| *name == Literal::Text("weight".into()) && has(columns, "weight"));
    let split = match (options.get("DATA_SPLIT_METHOD"), options.get("DATA_SPLIT_COL"), evaluated) {
        (Some(Literal::Text(method)), Some(Literal::Text(by)), Some(column)) => method == "CUSTOM" && by == column,
        (Some(Literal::Text(method)), None, None) => method == "NO_SPLIT",
        _ => false,
    };
    if has(columns, "label") && weight && split { Ok(()) } else { Err("the columns are not those that the options name".into()) }
}

fn has(columns: &[String], name: &str) -> bool {
    columns.iter().any(|column| column == name)
}

fn holds(want: &str, value: &Literal) -> bool {
    match (want, value) {
        ("int", Literal::Number(number)) => number.fract() == 0.0,
        ("float", Literal::Number(_)) | ("bool", Literal::Bool(_)) | ("text", Literal::Text(_)) => true,
        ("ints", Literal::List(items)) => items.iter().all(|item| holds("int", item)),
        ("texts", Literal::List(items)) => items.iter().all(|item| holds("text", item)),
        (words, Literal::Text(text)) => words.split(' ').any(|word| word == text),
        _ => false,
    }
}
