//! Models: configurations of the checker, in `docs/tla` and its folder `mistakes`, and
//! traces in `traces`.
//!
//! The first comment of a configuration says what the model is. A line `\* module: M`
//! names the module it is of, and `\* violates: P` says that the checker must find P
//! violated. Traces whose name begins with `refused` must not be followed to their end.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::outcome::Outcome;

/// The configuration, and the module, that follow a trace.
const TRACE_CONFIGURATION: &str = "trace.cfg";
const TRACE_MODULE: &str = "Trace";

/// Something to check.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) name: String,
    pub(super) what: String,
    pub(super) module: String,
    /// The configuration's path, in the folder of the specification.
    pub(super) configuration: String,
    /// The steps to follow, if it is about some.
    pub(super) trace: Option<PathBuf>,
    pub(super) expects: Expectation,
}

/// What must come of a model.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Expectation {
    /// No violation, in all states.
    Holds,
    /// A violation of this property.
    Violates(String),
    /// A step that is not allowed.
    Refused,
}

impl Expectation {
    /// Whether `outcome` is what must come; nothing if the checker did not get so far.
    pub(super) fn is_met_by(&self, outcome: &Outcome) -> Option<bool> {
        match (self, outcome) {
            (_, Outcome::Unfinished { .. } | Outcome::Broken { .. }) => None,
            (Self::Holds, Outcome::Holds { .. }) | (Self::Refused, Outcome::Stuck { .. }) => {
                Some(true)
            }
            (Self::Violates(expected), Outcome::Violated { property, .. }) => {
                Some(expected == property)
            }
            _ => Some(false),
        }
    }

    pub(super) fn words(&self) -> String {
        match self {
            Self::Holds => "holds".to_owned(),
            Self::Violates(property) => format!("violates {property}"),
            Self::Refused => "is refused".to_owned(),
        }
    }
}

impl Model {
    /// The model that follows the steps in `file`.
    pub(super) fn of_trace(file: &Path, expects: Expectation) -> Self {
        let name = file.file_stem().unwrap_or_default().to_string_lossy();
        Self {
            name: format!("traces/{name}"),
            what: "Follows what a group did.".to_owned(),
            module: TRACE_MODULE.to_owned(),
            configuration: TRACE_CONFIGURATION.to_owned(),
            trace: Some(file.to_path_buf()),
            expects,
        }
    }

    /// Reads what a configuration says of itself.
    fn parse(configuration: String, text: &str) -> Result<Self> {
        let comments = || text.lines().map_while(|line| line.strip_prefix("\\* "));
        let value = |key: &str| comments().find_map(|line| line.strip_prefix(key));
        let module = value("module: ");
        let module = module.context("it names no module: add a line `\\* module: NAME`")?;
        let expects = value("violates: ").map_or(Expectation::Holds, |property| {
            Expectation::Violates(property.to_owned())
        });
        let what = comments().take_while(|line| !line.starts_with("module: "));
        Ok(Self {
            name: configuration.trim_end_matches(".cfg").to_owned(),
            what: what.collect::<Vec<_>>().join(" "),
            module: module.to_owned(),
            configuration,
            trace: None,
            expects,
        })
    }
}

/// All models: those that hold, then mistakes, then traces.
pub(super) fn read_all(folder: &Path) -> Result<Vec<Model>> {
    let mut models = Vec::new();
    for file in ["", "mistakes"]
        .iter()
        .flat_map(|sub| files(folder, sub, "cfg"))
    {
        let path = folder.join(&file);
        let text =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        if file != TRACE_CONFIGURATION {
            models.push(Model::parse(file.clone(), &text).with_context(|| format!("in {file}"))?);
        }
    }
    for file in files(folder, "traces", "jsonl") {
        let expects = match file.starts_with("traces/refused") {
            true => Expectation::Refused,
            false => Expectation::Holds,
        };
        models.push(Model::of_trace(&folder.join(file), expects));
    }
    ensure!(
        !models.is_empty(),
        "there is no model in {}",
        folder.display()
    );
    Ok(models)
}

/// The files with this ending in a folder of the specification, by name.
fn files(folder: &Path, sub: &str, ending: &str) -> Vec<String> {
    let entries = fs::read_dir(folder.join(sub))
        .into_iter()
        .flatten()
        .flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<_> = names
        .filter(|name| {
            Path::new(name)
                .extension()
                .is_some_and(|found| found == ending)
        })
        .map(|name| match sub {
            "" => name,
            sub => format!("{sub}/{name}"),
        })
        .collect();
    names.sort();
    names
}

/// Copies modules and configurations to `copy`, and nothing else.
pub(super) fn copy_specification(folder: &Path, copy: &Path) -> Result<()> {
    if copy.exists() {
        fs::remove_dir_all(copy).with_context(|| format!("cannot empty {}", copy.display()))?;
    }
    let sources = files(folder, "", "tla").into_iter();
    let sources = sources.chain(files(folder, "", "cfg"));
    for file in sources.chain(files(folder, "mistakes", "cfg")) {
        let target = copy.join(&file);
        let parent = target.parent().unwrap_or(copy);
        fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
        fs::copy(folder.join(&file), &target)
            .with_context(|| format!("cannot write {}", target.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::FOLDER;
    use super::*;
    use crate::util::{TestDir, workspace_root};

    #[test]
    fn a_configuration_says_what_it_is() {
        let text = "\\* One thing,\n\\* and more.\n\\* module: M\n\\* violates: P\n\nINVARIANT P\n";

        let model = Model::parse("mistakes/x.cfg".to_owned(), text).unwrap();

        assert_eq!(model.name, "mistakes/x");
        assert_eq!(model.what, "One thing, and more.");
        assert_eq!(model.module, "M");
        assert_eq!(model.expects, Expectation::Violates("P".to_owned()));
    }

    #[test]
    fn a_configuration_without_a_module_is_refused() {
        let error = Model::parse("x.cfg".to_owned(), "\\* What.\n").unwrap_err();

        assert!(error.to_string().contains("names no module"));
    }

    #[test]
    fn a_mistake_must_break_the_property_it_names() {
        let expects = Expectation::Violates("P".to_owned());
        let violated = |property: &str| Outcome::Violated {
            property: property.to_owned(),
            details: String::new(),
            figures: Default::default(),
        };

        assert_eq!(expects.is_met_by(&violated("P")), Some(true));
        assert_eq!(expects.is_met_by(&violated("Q")), Some(false));
        let figures = Default::default();
        assert_eq!(expects.is_met_by(&Outcome::Holds { figures }), Some(false));
        assert_eq!(expects.is_met_by(&Outcome::Unfinished { figures }), None);
    }

    #[test]
    fn models_mistakes_and_traces_are_read() {
        let dir = TestDir::with(&[
            ("b.cfg", "\\* module: M\n"),
            ("trace.cfg", "\\* module: Trace\n"),
            ("mistakes/a.cfg", "\\* module: M\n\\* violates: P\n"),
            ("traces/refused_early.jsonl", ""),
        ]);

        let models = read_all(dir.path()).unwrap();

        let names: Vec<_> = models.iter().map(|model| model.name.as_str()).collect();
        assert_eq!(names, ["b", "mistakes/a", "traces/refused_early"]);
        assert_eq!(models[2].expects, Expectation::Refused);
    }

    #[test]
    fn each_model_of_the_specification_names_a_module_that_is_there() {
        let folder = workspace_root().join(FOLDER);

        for model in read_all(&folder).unwrap() {
            let module = folder.join(format!("{}.tla", model.module));
            assert!(module.is_file(), "{} names {}", model.name, model.module);
            assert!(
                !model.what.is_empty(),
                "{} does not say what it is",
                model.name
            );
        }
    }
}
