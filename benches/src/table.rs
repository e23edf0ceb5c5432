//! Tables in Markdown.

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table};

use crate::rounds::{Rounds, Spread};

/// A table with these columns, all but the first of numbers.
pub fn table(columns: &[String]) -> Table {
    let mut table = Table::new();
    table.load_preset(ASCII_MARKDOWN).set_header(columns);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// A figure of a comparison.
#[derive(Clone, Copy, Debug)]
pub struct Figure {
    /// What it is, with its unit.
    pub name: &'static str,
    /// How many digits are shown behind the point.
    pub decimals: usize,
    /// Whether it is compared with that of others.
    pub ratios: bool,
    /// Whether the minimum and the maximum are shown.
    pub spread: bool,
}

impl Figure {
    /// A figure that is shown as median, minimum and maximum, and compared.
    pub const fn new(name: &'static str, decimals: usize) -> Self {
        Self {
            name,
            decimals,
            ratios: true,
            spread: true,
        }
    }

    /// The figure without comparison.
    pub const fn alone(self) -> Self {
        Self {
            ratios: false,
            ..self
        }
    }
}

/// A table with a row for each contestant: its figures, each as median, minimum and maximum, and
/// their ratios to those of the `others`, as far as these take part.
pub fn comparison<const N: usize>(
    title: &str,
    names: &[&str],
    others: &[&str],
    figures: &[Figure; N],
    rounds: &Rounds<N>,
) -> Table {
    let mut header = vec![title.to_owned()];
    for figure in figures {
        header.push(if figure.spread {
            format!("{}: median (min to max)", figure.name)
        } else {
            figure.name.to_owned()
        });
        if figure.ratios {
            header.extend(others.iter().map(|other| format!("ratio to {other}")));
        }
    }
    let mut table = table(&header);
    for (contestant, name) in names.iter().enumerate() {
        let mut row = vec![(*name).to_owned()];
        for (index, figure) in figures.iter().enumerate() {
            row.push(cell(rounds.spread(contestant, index), figure));
            if figure.ratios {
                row.extend(others.iter().map(|other| {
                    let other = names.iter().position(|name| name == other);
                    other.map_or_else(String::new, |other| {
                        format!("{:.2}", rounds.ratio(contestant, other, index))
                    })
                }));
            }
        }
        table.add_row(row);
    }
    table
}

fn cell(spread: Spread, figure: &Figure) -> String {
    let Spread { median, min, max } = spread;
    let places = figure.decimals;
    if figure.spread && min < max {
        format!("{median:.places$} ({min:.places$} to {max:.places$})")
    } else {
        format!("{median:.places$}")
    }
}
