//! Measuring several subjects in turn.

/// The measurements of one subject, one a round.
#[derive(Clone, Debug, Default)]
pub(crate) struct Measured(pub(crate) Vec<f64>);

impl Measured {
    /// The value in the middle.
    pub(crate) fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
    }

    /// The median of the ratios to a baseline, round by round.
    pub(crate) fn ratio_to(&self, baseline: &Self) -> f64 {
        Self(self.0.iter().zip(&baseline.0).map(|(value, baseline)| value / baseline).collect()).median()
    }
}

/// A way to take one measurement.
pub(crate) type Subject<'a> = Box<dyn FnMut() -> anyhow::Result<f64> + 'a>;

/// Lets each subject take its turn in every round; the first round is a warm-up and not counted. Every other round goes backwards, so that
/// none has the advantage of what it comes after.
pub(crate) fn take_turns<const N: usize>(
    rounds: usize,
    mut subjects: [Subject<'_>; N],
) -> anyhow::Result<[Measured; N]> {
    let mut measured: [Measured; N] = std::array::from_fn(|_| Measured::default());
    for round in 0..=rounds {
        let mut turns: Vec<_> = subjects.iter_mut().zip(&mut measured).collect();
        if round % 2 == 1 {
            turns.reverse();
        }
        for (subject, measured) in turns {
            let value = subject()?;
            if round > 0 {
                measured.0.push(value);
            }
        }
    }
    Ok(measured)
}
