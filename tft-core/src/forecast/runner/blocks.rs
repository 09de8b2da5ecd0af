//! Blocks of work on some threads.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::error::Error;

/// Does blocks of work on some threads, each with something of its own to work with; results come in the order of
/// the blocks.
///
/// # Errors
/// That of the first block that fails.
pub(super) fn run_blocks<W: Default, T: Send>(
    threads: usize,
    blocks: usize,
    work: impl Fn(&mut W, usize) -> Result<T, Error> + Sync,
) -> Result<Vec<T>, Error> {
    let next = AtomicUsize::new(0);
    let take = || {
        let mut own = W::default();
        let mut done = Vec::new();
        loop {
            let block = next.fetch_add(1, Ordering::Relaxed);
            if block >= blocks {
                return done;
            }
            done.push((block, work(&mut own, block)));
        }
    };
    let mut done = if threads.min(blocks) <= 1 {
        take()
    } else {
        std::thread::scope(|scope| {
            let others: Vec<_> = (1..threads.min(blocks)).map(|_| scope.spawn(take)).collect();
            let mut done = take();
            for other in others {
                match other.join() {
                    Ok(more) => done.extend(more),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            done
        })
    };
    done.sort_unstable_by_key(|(block, _)| *block);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn results_are_in_order_on_any_number_of_threads() {
        for threads in [1, 2, 7] {
            let squares = run_blocks(threads, 20, |(): &mut (), block| Ok(block * block)).unwrap();
            assert_eq!(squares, (0..20).map(|block| block * block).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_first_error_is_reported() {
        let failing = |(): &mut (), block: usize| match block {
            3 | 5 => {
                Err(Error::new(ErrorKind::InvalidInput, std::io::Error::other(format!("block {block}"))))
            }
            _ => Ok(()),
        };
        assert_eq!(run_blocks(4, 8, failing).unwrap_err().to_string(), "block 3");
    }
}
