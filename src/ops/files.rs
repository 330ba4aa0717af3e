//! How many files and sockets the process may have open.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Raises the limit to `needed` open files, as far as it may be raised.
///
/// # Errors
/// How many there may be, if that is less.
pub fn allow(needed: u64) -> Result<(), u64> {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return Ok(()) };
    if soft >= needed {
        return Ok(());
    }
    match setrlimit(Resource::RLIMIT_NOFILE, needed.min(hard), hard) {
        Ok(()) if hard >= needed => Ok(()),
        Ok(()) => Err(hard),
        Err(_) => Err(soft),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_raised_as_far_as_it_may_be() {
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
        assert_eq!(allow(soft.min(16)), Ok(()), "what is allowed already changes nothing");
        assert_eq!(getrlimit(Resource::RLIMIT_NOFILE).expect("a limit").0, soft);
        if hard < u64::MAX {
            assert_eq!(allow(u64::MAX), Err(hard));
            assert_eq!(getrlimit(Resource::RLIMIT_NOFILE).expect("a limit").0, hard);
        }
    }
}
