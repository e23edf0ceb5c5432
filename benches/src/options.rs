//! What can be asked of every benchmark that takes time.

use std::time::Duration;

use crate::table::Figure;

/// The options.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// How many rounds there are; in each of them every contestant is measured once.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub rounds: u32,
    /// How long each measurement takes, instead of what the benchmark thinks enough.
    #[arg(long, value_parser = seconds)]
    seconds: Option<Duration>,
    /// Only contestants whose name contains this.
    #[arg(long)]
    only: Option<String>,
    /// Leaves the minimum and the maximum out.
    #[arg(long)]
    medians: bool,
    /// What `cargo bench` passes.
    #[arg(long, hide = true)]
    bench: bool,
}

impl Options {
    /// How long each measurement takes.
    pub fn time(&self, enough: Duration) -> Duration {
        self.seconds.unwrap_or(enough)
    }

    /// Figures as they are to be shown.
    pub fn shown<const N: usize>(&self, figures: [Figure; N]) -> [Figure; N] {
        figures.map(|figure| Figure {
            spread: figure.spread && !self.medians,
            ..figure
        })
    }

    /// Whether a contestant takes part.
    pub fn wants(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|only| name.contains(only))
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().map_err(|_| "not a number".to_owned())?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(time) if (Duration::from_millis(1)..=Duration::from_mins(10)).contains(&time) => {
            Ok(time)
        }
        _ => Err("not between 0.001 and 600".to_owned()),
    }
}
