//! Reads the operations' source as text and checks that each is documented in the same way: an
//! effect, a result, a version, the name that C programmers look for. And that it is in every list.

#![cfg(target_os = "linux")]

use std::fs;
use std::path::Path;

use lio_uring::Features;
use lio_uring::operation::OpCode;

#[path = "../examples/doctor/families.rs"]
mod families;

use families::FAMILIES;

/// The headings that an operation's documentation may have, in the order in which they come.
const HEADINGS: [&str; 6] = [
    "# Result",
    "# Errors",
    "# Cancellation",
    "# Notes",
    "# Safety",
    "# Examples",
];

/// An operation as its file shows it.
struct Source {
    name: String,
    /// `src/operation/read.rs: Read`, for messages.
    place: String,
    /// What stands after `OpCode::`.
    opcode: String,
    docs: Vec<String>,
    /// What stands between the documentation and the struct.
    attributes: String,
}

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every `impl Operation for ...` and `impl LargeOperation for ...` of `src/operation/*.rs`.
fn operations() -> Vec<Source> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder().join("operation")).expect("src/operation can be listed") {
        let path = entry.expect("src/operation can be listed").path();
        let text = read(&path);
        let lines: Vec<&str> = text.lines().collect();
        for (number, line) in lines.iter().enumerate() {
            let Some(name) = line
                .strip_prefix("impl Operation for ")
                .or_else(|| line.strip_prefix("impl LargeOperation for "))
                .and_then(|rest| rest.strip_suffix(" {"))
            else {
                continue;
            };
            let place = format!("{}: {name}", path.display());
            found.push(source(name, &place, &lines, number));
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

/// Collects what belongs to the operation whose `impl` stands in this line.
fn source(name: &str, place: &str, lines: &[&str], implementation: usize) -> Source {
    let opcode = lines[implementation..]
        .iter()
        .find_map(|line| line.trim().strip_prefix("const OPCODE: OpCode = OpCode::"))
        .and_then(|rest| rest.strip_suffix(';'))
        .unwrap_or_else(|| panic!("{place}: no `const OPCODE: OpCode = OpCode::NAME;`"));
    let declaration = lines
        .iter()
        .position(|line| {
            line.strip_prefix("pub struct ")
                .and_then(|rest| rest.strip_prefix(name))
                .is_some_and(|rest| rest.starts_with([' ', ';', '(']))
        })
        .unwrap_or_else(|| panic!("{place}: no `pub struct {name}` in the same file"));
    let above = lines[..declaration]
        .iter()
        .rposition(|line| line.is_empty())
        .unwrap_or(0);
    let (docs, attributes): (Vec<&str>, Vec<&str>) = lines[above + 1..declaration]
        .iter()
        .partition(|line| line.starts_with("///"));
    Source {
        name: name.to_owned(),
        place: place.to_owned(),
        opcode: opcode.to_owned(),
        docs: docs
            .iter()
            .map(|line| line[3..].trim().to_owned())
            .collect(),
        attributes: attributes.join("\n"),
    }
}

fn version(text: &str) -> (u32, u32) {
    text.split_once('.')
        .and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)))
        .unwrap_or_else(|| panic!("`{text}` is not a version such as 5.6"))
}

/// The version that an operation's page names.
fn documented_since(operation: &Source) -> &str {
    let last = operation.docs.last().map_or("", String::as_str);
    last_line(last).map_or("", |(since, _)| since)
}

/// The version and the C function of a last line, if it is one. An operation that liburing has no
/// function for has its code there.
fn last_line(line: &str) -> Option<(&str, &str)> {
    let (since, name) = line
        .strip_prefix("Since Linux ")?
        .strip_suffix("`.")?
        .split_once(". C: `")?;
    let function = name
        .strip_suffix("(3)")
        .or_else(|| name.starts_with("IORING_OP_").then_some(name))?;
    Some((since, function))
}

#[test]
fn the_first_line_is_a_sentence() {
    for operation in operations() {
        let first = operation.docs.first().map_or("", String::as_str);
        assert!(
            first.ends_with('.') && first.starts_with(char::is_uppercase),
            "{}: the documentation must begin with one line that is a sentence, not `{first}`",
            operation.place
        );
        assert!(
            operation.docs.get(1).is_some_and(String::is_empty),
            "{}: the first sentence must fit on one line and stand alone",
            operation.place
        );
    }
}

#[test]
fn the_headings_are_known_and_in_order() {
    for operation in operations() {
        let headings: Vec<&str> = operation
            .docs
            .iter()
            .map(String::as_str)
            .filter(|line| line.starts_with('#'))
            .collect();
        let mut known = HEADINGS.iter();
        for heading in &headings {
            assert!(
                known.any(|known| known == heading),
                "{}: `{heading}` is not one of {HEADINGS:?}, or not in that order",
                operation.place
            );
        }
        assert!(
            headings.contains(&"# Result"),
            "{}: no `# Result`",
            operation.place
        );
    }
}

#[test]
fn the_last_line_names_the_version_and_the_c_function() {
    for operation in operations() {
        let last = operation.docs.last().map_or("", String::as_str);
        let Some((since, function)) = last_line(last) else {
            panic!(
                "{}: the documentation must end with a line like \
                 `Since Linux 5.6. C: `io_uring_prep_read(3)`.`, not `{last}`",
                operation.place
            );
        };
        let code = OpCode::ALL
            .iter()
            .find(|code| code.name() == Some(operation.opcode.as_str()))
            .unwrap_or_else(|| panic!("{}: no code {}", operation.place, operation.opcode));
        let code_since = code.since().expect("every code of the list has a version");
        assert!(
            version(since) >= version(code_since),
            "{}: since Linux {since} cannot be, {code} came with {code_since}",
            operation.place
        );
        for alias in [
            function.to_owned(),
            format!("IORING_OP_{}", operation.opcode),
        ] {
            assert!(
                operation.attributes.contains("#[doc(alias(")
                    && operation.attributes.contains(&format!("\"{alias}\"")),
                "{}: no `#[doc(alias(\"{alias}\"))]`",
                operation.place
            );
        }
    }
}

#[test]
fn what_an_operation_needs_came_when_its_page_says() {
    let operations = operations();
    for row in FAMILIES.iter().flat_map(|family| family.operations) {
        let operation = operations
            .iter()
            .find(|operation| operation.name == row.name)
            .unwrap_or_else(|| panic!("{} is not an operation", row.name));
        assert_eq!(
            row.needs.since(),
            Some(documented_since(operation)),
            "{}: NEEDS and the documentation do not agree",
            operation.place
        );
        assert_eq!(
            row.needs.opcode().name(),
            Some(operation.opcode.as_str()),
            "{}",
            operation.place
        );
        // Otherwise the kernel's answer for the code is the answer.
        assert!(
            !row.needs.is_form() || row.needs.since() != row.needs.opcode().since(),
            "{}: a form as old as its code needs the code alone",
            operation.place
        );
        if let Some(instead) = row.needs.instead() {
            let older = operations.iter().find(|other| other.name == instead);
            let older = older.unwrap_or_else(|| panic!("{}: no {instead}", operation.place));
            assert!(
                version(documented_since(older)) < version(documented_since(operation)),
                "{}: {instead} is not older",
                operation.place
            );
        }
    }
}

#[test]
fn the_first_operation_of_a_code_is_as_old_as_the_code() {
    for code in OpCode::ALL {
        let oldest = operations()
            .iter()
            .filter(|operation| code.name() == Some(operation.opcode.as_str()))
            .filter_map(|operation| Some(version(last_line(operation.docs.last()?)?.0)))
            .min();
        if let (Some(oldest), Some(since)) = (oldest, code.since()) {
            assert_eq!(
                oldest,
                version(since),
                "no operation with {code} is as old as the code"
            );
        }
    }
}

/// The families of the table in `src/operation.rs`, and the operations of each with the version
/// behind it.
fn table(module: &str) -> Vec<(&str, Vec<(&str, &str)>)> {
    let rows = module
        .lines()
        .filter_map(|line| line.strip_prefix("//! | "));
    let rows = rows.filter(|row| row.contains("[`"));
    rows.map(|row| {
        let (family, cells) = row.split_once(" | ").expect("two columns");
        let cells = cells.strip_suffix(" |").expect("the row is closed");
        let operations = cells.split(", ").map(|cell| {
            cell.strip_prefix("[`")
                .and_then(|cell| cell.split_once("`] "))
                .unwrap_or_else(|| panic!("`{cell}` is not like [`Read`] 5.6"))
        });
        (family, operations.collect())
    })
    .collect()
}

#[test]
fn the_table_has_every_operation_with_its_version_and_nothing_else() {
    let module = read(&folder().join("operation.rs"));
    let table = table(&module);
    let operations = operations();
    for operation in &operations {
        let wanted = (operation.name.as_str(), documented_since(operation));
        let found = table.iter().flat_map(|(_, row)| row);
        assert_eq!(
            found.filter(|cell| **cell == wanted).count(),
            1,
            "{}: [`{}`] {} must stand once in the table of src/operation.rs",
            operation.place,
            wanted.0,
            wanted.1
        );
    }
    for (name, _) in table.iter().flat_map(|(_, row)| row) {
        assert!(
            operations.iter().any(|operation| operation.name == *name),
            "{name} stands in the table of src/operation.rs, but no file of src/operation has \
             `impl Operation for {name} {{`"
        );
    }
}

#[test]
fn doctor_lists_the_operations_of_the_table() {
    let module = read(&folder().join("operation.rs"));
    let table = table(&module);
    let documented = table.iter().map(|(family, row)| {
        (
            *family,
            row.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
        )
    });
    let listed = FAMILIES.iter().map(|family| {
        let names = family.operations.iter().map(|row| row.name);
        (family.name, names.collect::<Vec<_>>())
    });
    assert!(
        documented.eq(listed),
        "examples/doctor/families.rs and the table of src/operation.rs must be the same"
    );
}

#[test]
fn features_came_when_their_documentation_says() {
    let source = read(&folder().join("features.rs"));
    for (name, feature) in Features::all().iter_names() {
        let (before, _) = source
            .split_once(&format!("const {name} = "))
            .unwrap_or_else(|| panic!("no const {name} in src/features.rs"));
        let documented = before
            .trim_end()
            .rsplit_once("Since Linux ")
            .and_then(|(_, since)| since.strip_suffix('.'));
        assert_eq!(feature.since(), documented, "{name}");
    }
}

#[test]
fn the_codes_are_in_order() {
    for (number, code) in OpCode::ALL.iter().enumerate() {
        assert_eq!(
            usize::from(code.0),
            number,
            "{code} is out of place in OpCode::ALL"
        );
    }
}
