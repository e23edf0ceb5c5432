//! Figures of many contestants, measured round by round.

/// `N` figures of each contestant in each round.
#[derive(Clone, Debug)]
pub struct Rounds<const N: usize> {
    /// By contestant, then by round.
    figures: Vec<Vec<[f64; N]>>,
}

/// What one figure was over the rounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The one in the middle.
    pub median: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
}

impl<const N: usize> Rounds<N> {
    /// Has each contestant measured once in each round, so that what disturbs the machine disturbs
    /// all of them. Another one begins each time. A first round does not count.
    pub fn measure(
        rounds: u32,
        contestants: usize,
        mut measure: impl FnMut(usize) -> [f64; N],
    ) -> Self {
        let mut figures = vec![Vec::new(); contestants];
        for round in 0..=rounds as usize {
            for turn in 0..contestants {
                let contestant = (round + turn) % contestants;
                let measured = measure(contestant);
                if round > 0 {
                    figures[contestant].push(measured);
                }
            }
        }
        Self { figures }
    }

    /// What a contestant's figure was.
    pub fn spread(&self, contestant: usize, figure: usize) -> Spread {
        let sorted = sorted(self.figures[contestant].iter().map(|round| round[figure]));
        Spread {
            median: median(&sorted),
            min: sorted.first().copied().unwrap_or(f64::NAN),
            max: sorted.last().copied().unwrap_or(f64::NAN),
        }
    }

    /// A contestant's figure divided by another's: the median of what it was in each round.
    pub fn ratio(&self, contestant: usize, other: usize, figure: usize) -> f64 {
        let pairs = self.figures[contestant].iter().zip(&self.figures[other]);
        median(&sorted(pairs.map(|(one, two)| one[figure] / two[figure])))
    }
}

fn sorted(numbers: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut sorted: Vec<f64> = numbers.collect();
    sorted.sort_by(f64::total_cmp);
    sorted
}

fn median(sorted: &[f64]) -> f64 {
    match sorted.len() {
        0 => f64::NAN,
        len if len % 2 == 1 => sorted[len / 2],
        len => f64::midpoint(sorted[len / 2 - 1], sorted[len / 2]),
    }
}
