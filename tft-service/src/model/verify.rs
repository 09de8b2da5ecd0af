//! The text of `model verify`.

use std::fmt::Write;

use tft_core::model::{OutputDifference, Verification};

/// Returns a line per output and a verdict.
pub(super) fn text(verification: &Verification) -> String {
    let mut text =
        format!("{:<18} {:>9} {:>9}  {:<18} verdict\n", "output", "largest", "relative", "tolerance");
    for output in &verification.outputs {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}", line(output));
    }
    text + &verdict(verification) + "\n"
}

fn line(output: &OutputDifference) -> String {
    let verdict = if output.is_within_tolerance() { "ok" } else { "differs" };
    let OutputDifference { output: name, largest_absolute, largest_relative, tolerance, .. } = output;
    let tolerance = tolerance.to_string();
    format!("{name:<18} {largest_absolute:>9.1e} {largest_relative:>9.1e}  {tolerance:<18} {verdict}")
}

fn verdict(verification: &Verification) -> String {
    let (windows, from_rows) = (verification.windows, verification.windows_from_rows);
    let windows = match from_rows {
        0 => format!("{windows} windows from tensors"),
        _ => format!("{windows} windows from tensors, {from_rows} from raw rows"),
    };
    let outputs = &verification.outputs;
    match outputs.iter().filter(|output| !output.is_within_tolerance()).count() {
        0 => format!("verified: all {} outputs are within their tolerance ({windows})", outputs.len()),
        differing => {
            let all = outputs.len();
            format!("differs: {differing} of {all} outputs are beyond their tolerance ({windows})")
        }
    }
}
