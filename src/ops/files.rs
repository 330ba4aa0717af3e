//! How many files and sockets the process may have open.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Raises the limit to `needed` open files, as far as it may be raised.
///
/// # Errors
/// How many there may be, if that is less.
#[allow(clippy::useless_conversion, reason = "limits have 32 bits on machines of 32 bits")]
pub fn allow(needed: u64) -> Result<(), u64> {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return Ok(()) };
    if u64::from(soft) >= needed {
        return Ok(());
    }
    let wanted = needed.try_into().unwrap_or(hard).min(hard);
    match setrlimit(Resource::RLIMIT_NOFILE, wanted, hard) {
        Ok(()) if u64::from(hard) >= needed => Ok(()),
        Ok(()) => Err(hard.into()),
        Err(_) => Err(soft.into()),
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
