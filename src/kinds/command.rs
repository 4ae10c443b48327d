//! Kind `command`: any program, with declared files in and declared files out. Invariant: what the program may see (arguments, files, the
//! variables of its environment with their values) is in `params` and `inputs`, so all of it is in the key.
//!
//! `params` for the runner, which starts the program itself:
//! `run` (arguments) or `shell` (a line for `sh -c`); `place` (slot → path in the program's folder: a path that ends in `/` is a folder that
//! takes the artifact's files under their own names, any other path takes the slot's one file); `outputs` (paths it must write);
//! `env` (variable → value); `pass_env` (variable → this machine's value, or null where it is not set).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::base::name::{is_table_name, nearest};
use crate::kinds::body::{Body, stays_inside};
use crate::kinds::context::{DeclareContext, KindError};
use crate::kinds::kind::Kind;
use crate::model::recipe::{Declared, Source, Stanza};
use crate::syntax::shape::{Key, Want};

/// The artifact that holds a command's outputs, each at the path it was declared with.
pub const ARTIFACT: &str = "out";

/// Kind `command`.
pub const KIND: Kind = Kind {
    name: "command",
    version: 1,
    about: "Runs a program in a folder of its own and keeps the files it was told to write.",
    keys: &[
        Key::optional("run", Want::List(&Want::Text, true), "The program and its arguments; no shell is involved."),
        Key::optional("shell", Want::Text, "A line for `sh -c`, instead of `run`."),
        Key::optional(
            "files",
            Want::List(&Want::Text, false),
            "Workspace files and globs the program may read; it finds them at the same relative paths.",
        ),
        Key::optional("needs", Want::List(&Want::Target, false), "Targets whose artifacts the program may read."),
        Key::required(
            "outputs",
            Want::List(&Want::Text, true),
            "Paths of the files that the program must write, all of them and no others.",
        ),
        Key::optional("env", Want::Map(&Want::Text), "Variables of the program's environment, which is empty otherwise."),
        Key::optional("pass_env", Want::List(&Want::Text, false), "Variables passed on from your environment; their values enter the key."),
    ],
    declare,
};

fn declare(stanza: &Stanza, context: &DeclareContext) -> Result<Declared, KindError> {
    let body = Body(stanza);
    let outputs = outputs(body)?;
    let mut inputs = BTreeMap::new();
    let mut place = serde_json::Map::new();
    let mut places = BTreeMap::new();
    for path in files(body, context)? {
        if outputs.contains(path.as_str()) {
            return Err(body.error("outputs", format!("'{path}' is both a file it reads and an output")));
        }
        let slot = format!("file:{path}");
        place.insert(slot.clone(), json!(path));
        inputs.insert(slot, Source::File(path));
    }
    for (index, (text, source)) in body.texts("needs").into_iter().zip(body.targets("needs", "")?).enumerate() {
        let slot = format!("need:{text}");
        let path = format!("needs.{index}");
        if inputs.contains_key(&slot) {
            return Err(body.error(&path, format!("'{text}' is listed twice")));
        }
        place.insert(slot.clone(), json!(placement(&source, context)));
        places.insert(slot.clone(), body.place(&path));
        inputs.insert(slot, source);
    }
    let mut params = json!({ "place": place, "outputs": outputs, "env": body.table("env").cloned().unwrap_or_default() });
    params["pass_env"] = pass_env(body, context)?;
    let (key, value, program) = program(body)?;
    params[key] = value;
    Ok(Declared {
        params,
        inputs,
        places,
        outputs: BTreeSet::from([ARTIFACT.to_owned()]),
        programs: program.into_iter().collect(),
        ..Declared::default()
    })
}

/// `run` or `shell` with its value, and the program of this machine that it starts; one given by a relative path is an input, not of the machine.
fn program(body: Body) -> Result<(&'static str, Value, Option<String>), KindError> {
    match (body.value("run"), body.text("shell")) {
        (Some(_), Some(_)) => Err(body.key_error("shell", "'run' and 'shell' are two ways to say one thing; keep one")),
        (None, None) => {
            Err(body.error("", format!("command '{}' needs 'run' or 'shell'", body.0.name)).hint("add: run = [\"program\", \"argument\"]"))
        }
        (None, Some(line)) => Ok(("shell", json!(line), Some("sh".to_owned()))),
        (Some(list), None) => {
            let program = body.texts("run").first().copied().unwrap_or_default();
            if program.is_empty() {
                return Err(body.error("run.0", "the program's name is empty"));
            }
            let of_the_machine = !program.contains('/') || program.starts_with('/');
            Ok(("run", list.clone(), of_the_machine.then(|| program.to_owned())))
        }
    }
}

/// The declared outputs; each a path inside the program's folder, none inside another.
fn outputs(body: Body<'_>) -> Result<BTreeSet<&str>, KindError> {
    let mut all = BTreeSet::new();
    for (index, path) in body.texts("outputs").into_iter().enumerate() {
        let refuse = |why: &str| Err::<BTreeSet<&str>, _>(body.error(&format!("outputs.{index}"), format!("the output '{path}' {why}")));
        if !stays_inside(path) {
            let file = path.rsplit('/').find(|part| stays_inside(part)).unwrap_or("result.txt");
            return refuse("is not a path inside the program's folder").map_err(|error| error.hint(format!("write it there: '{file}'")));
        }
        if !all.insert(path) {
            return refuse("is listed twice");
        }
    }
    let mut folded: BTreeMap<String, &str> = BTreeMap::new();
    for path in &all {
        if let Some(other) = folded.insert(path.to_lowercase(), path) {
            return Err(body.error("outputs", format!("'{other}' and '{path}' are one file where names ignore case")));
        }
    }
    for path in &all {
        if let Some((end, _)) = path.rmatch_indices('/').find(|(end, _)| all.contains(&path[..*end])) {
            return Err(body.error("outputs", format!("'{}' cannot be both a file and the folder of '{path}'", &path[..end])));
        }
    }
    Ok(all)
}

/// The workspace files that `files` names.
fn files(body: Body, context: &DeclareContext) -> Result<BTreeSet<String>, KindError> {
    let mut all = BTreeSet::new();
    for (index, pattern) in body.texts("files").into_iter().enumerate() {
        let at = format!("files.{index}");
        if !stays_inside(pattern) {
            let error = body.error(&at, format!("'{pattern}' is not a path inside the workspace"));
            return Err(error.hint("copy the files into the workspace"));
        }
        let found = (context.files)(pattern);
        if found.is_empty() {
            return Err(missing_file(body.error(&at, format!("no file matches '{pattern}'")), pattern, context));
        }
        all.extend(found);
    }
    Ok(all)
}

fn missing_file(error: KindError, pattern: &str, context: &DeclareContext) -> KindError {
    let folder = pattern.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
    let beside = (context.files)(&format!("{folder}*"));
    match nearest(pattern, beside.iter().map(String::as_str)) {
        Some(near) => error.hint(format!("did you mean '{near}'?")),
        None => error,
    }
}

/// Where a needed artifact stands in the program's folder.
fn placement(source: &Source, context: &DeclareContext) -> String {
    let Source::Target { name, artifact } = source else { return "./".into() };
    if (context.kind_of)(name.as_str()).is_some_and(|kind| kind == KIND.name) {
        "./".into()
    } else if is_table_name(name.as_str()) && matches!(artifact.as_str(), "" | "table") {
        format!("{name}.parquet")
    } else {
        format!("{name}/")
    }
}

fn pass_env(body: Body, context: &DeclareContext) -> Result<Value, KindError> {
    let given = body.table("env");
    let mut all = serde_json::Map::new();
    for (index, name) in body.texts("pass_env").into_iter().enumerate() {
        let refuse = |why: &str| Err(body.error(&format!("pass_env.{index}"), format!("the variable '{name}' {why}")));
        if name.is_empty() || name.contains(['=', '\0']) {
            return refuse("cannot be a variable's name");
        }
        if given.is_some_and(|env| env.contains_key(name)) {
            return refuse("is also set in 'env'; keep one");
        }
        all.insert(name.to_owned(), json!((context.env)(name)));
    }
    match given.into_iter().flatten().find(|(name, _)| name.is_empty() || name.contains(['=', '\0'])) {
        Some((name, _)) => Err(body.key_error(&format!("env.{name}"), format!("'{name}' cannot be a variable's name"))),
        None => Ok(Value::Object(all)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::body::check;
    use crate::model::recipe::Common;

    fn stanza(body: Value) -> Stanza {
        let Value::Object(body) = body else { panic!("a table") };
        Stanza {
            kind: "command".into(),
            name: "o/x".parse().unwrap(),
            body: body.into_iter().collect(),
            common: Common::default(),
            place: crate::model::recipe::Place::default(),
            spots: BTreeMap::new(),
            part: None,
        }
    }

    fn declare(body: Value) -> Result<Declared, Vec<KindError>> {
        let files = |glob: &str| match glob {
            "src/*.txt" => vec!["src/a.txt".to_owned(), "src/b.txt".to_owned()],
            "src/a.txt" | "src/*" => vec!["src/a.txt".to_owned()],
            _ => Vec::new(),
        };
        let context = DeclareContext {
            text: &|_| Err("no such file".into()),
            files: &files,
            env: &|name| (name == "HOME").then(|| "/home/x".to_owned()),
            kind_of: &|name| (name == "o/y").then(|| "command".to_owned()),
            tune_of: &|_| None,
            as_of: None,
        };
        let stanza = stanza(body);
        let errors = check(&stanza, KIND.keys);
        if errors.is_empty() { super::declare(&stanza, &context).map_err(|error| vec![error]) } else { Err(errors) }
    }

    fn refusal(body: Value) -> String {
        let errors = declare(body).unwrap_err();
        errors.iter().map(|e| format!("{e}{}", e.hint.as_ref().map_or(String::new(), |h| format!(" [{h}]")))).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn everything_the_program_sees_is_declared() {
        let declared = declare(json!({
            "run": ["sort", "src/a.txt"], "files": ["src/*.txt", "src/a.txt"], "needs": ["o/y", "wti.daily", "model/x#model"],
            "outputs": ["o/x"], "env": {"LC_ALL": "C"}, "pass_env": ["HOME", "NOT_SET"],
        }))
        .unwrap();
        let expected = json!({
            "run": ["sort", "src/a.txt"],
            "place": {
                "file:src/a.txt": "src/a.txt", "file:src/b.txt": "src/b.txt",
                "need:o/y": "./", "need:wti.daily": "wti.daily.parquet", "need:model/x#model": "model/x/",
            },
            "outputs": ["o/x"], "env": {"LC_ALL": "C"}, "pass_env": {"HOME": "/home/x", "NOT_SET": null},
        });
        assert_eq!(declared.params, expected);
        assert_eq!(declared.inputs["file:src/b.txt"], Source::File("src/b.txt".into()));
        assert_eq!(declared.inputs["need:model/x#model"], Source::Target { name: "model/x".parse().unwrap(), artifact: "model".into() });
        assert_eq!(declared.programs, BTreeSet::from(["sort".to_owned()]));
    }

    #[test]
    fn a_command_that_cannot_be_run_as_declared_is_refused_in_words() {
        let shell = |extra: Value| {
            let mut body = json!({"shell": "true", "outputs": ["o/x"]});
            for (key, value) in extra.as_object().unwrap() {
                body[key] = value.clone();
            }
            refusal(body)
        };
        assert_eq!(shell(json!({"run": ["true"]})), "'run' and 'shell' are two ways to say one thing; keep one");
        assert_eq!(refusal(json!({"outputs": ["o/x"]})), "command 'o/x' needs 'run' or 'shell' [add: run = [\"program\", \"argument\"]]");
        assert_eq!(
            shell(json!({"outputs": ["../x"]})),
            "the output '../x' is not a path inside the program's folder [write it there: 'x']"
        );
        assert_eq!(shell(json!({"outputs": ["/x"]})), "the output '/x' is not a path inside the program's folder [write it there: 'x']");
        assert_eq!(shell(json!({"outputs": ["a", "a/b"]})), "'a' cannot be both a file and the folder of 'a/b'");
        assert_eq!(shell(json!({"outputs": ["A", "a"]})), "'A' and 'a' are one file where names ignore case");
        assert_eq!(shell(json!({"files": ["src/c.txt"]})), "no file matches 'src/c.txt' [did you mean 'src/a.txt'?]");
        assert_eq!(
            shell(json!({"files": ["../../etc/passwd"]})),
            "'../../etc/passwd' is not a path inside the workspace [copy the files into the workspace]"
        );
        assert_eq!(shell(json!({"needs": ["o/y", "o/y"]})), "'o/y' is listed twice");
        assert_eq!(shell(json!({"env": {"HOME": "x"}, "pass_env": ["HOME"]})), "the variable 'HOME' is also set in 'env'; keep one");
        assert_eq!(shell(json!({"files": ["src/a.txt"], "outputs": ["src/a.txt"]})), "'src/a.txt' is both a file it reads and an output");
    }

    #[test]
    fn every_wrong_key_of_a_stanza_is_reported_at_once() {
        let found = refusal(json!({"shel": "true", "outputs": "o/x", "env": {"A": 1}}));
        assert_eq!(
            found,
            "'env.A' must be a string, found the number 1; 'outputs' must be a list of which each is a string, not empty, found the string \"o/x\"; \
             unknown key 'shel' in command 'o/x' [did you mean 'shell'?]"
        );
    }
}
