//! The token that lets an operator in from elsewhere. Only its hash is kept: who reads the file, or a
//! backup of it, cannot get in with that.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use ring::rand::{SecureRandom as _, SystemRandom};
use tracing::{error, warn};

use crate::transport::hex::lower_hex;

/// The file in the state directory.
const FILE: &str = "admin-token";
/// What stands before the hash in it.
const PREFIX: &str = "sha256:";
/// Octets of randomness in a token.
const RANDOM: usize = 32;

/// The hash of a token. Not shown.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) struct TokenHash([u8; SHA256_OUTPUT_LEN]);

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash")
    }
}

impl TokenHash {
    fn of(token: &[u8]) -> Self {
        let mut hash = [0; SHA256_OUTPUT_LEN];
        hash.copy_from_slice(digest(&SHA256, token).as_ref());
        Self(hash)
    }

    /// Whether this is the token, in a time that does not depend on it.
    pub(super) fn is_of(&self, token: &[u8]) -> bool {
        let other = Self::of(token);
        let differences = self.0.iter().zip(other.0).fold(0, |all, (a, b)| all | (a ^ b));
        std::hint::black_box(differences) == 0
    }
}

/// Why there is no token.
#[derive(Debug)]
enum TokenError {
    /// The file cannot be used.
    File(PathBuf, io::Error),
    /// There is something else in it.
    Damaged(PathBuf),
    /// The system gives no random numbers.
    Random,
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Damaged(path) => write!(
                f,
                "{} is not what the gateway has written; delete it, and the next start makes another \
                 token",
                path.display()
            ),
            Self::Random => f.write_str("the system gives no random numbers"),
        }
    }
}

/// The hash of the token in a state directory. If there is none a token is made, and said once in the
/// log. `None`, with the reason in the log, if there can be none: then nobody gets in.
pub(super) fn open(state_dir: &Path) -> Option<TokenHash> {
    match load_or_make(state_dir) {
        Ok((hash, None)) => Some(hash),
        Ok((hash, Some(token))) => {
            // Whatever the level of the log is: it is said only once.
            warn!(
                "the token for the admin interface is {token} (Authorization: Bearer …). It is not said \
                 again; deleting {} makes another one at the next start",
                state_dir.join(FILE).display()
            );
            Some(hash)
        }
        Err(why) => {
            error!("there is no token for the admin interface, so nobody is let in: {why}");
            None
        }
    }
}

/// The hash, and the token itself if it has just been made.
fn load_or_make(state_dir: &Path) -> Result<(TokenHash, Option<String>), TokenError> {
    let path = state_dir.join(FILE);
    match fs::read(&path) {
        Ok(octets) => match parse(&octets) {
            Some(hash) => Ok((hash, None)),
            None => Err(TokenError::Damaged(path)),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut random = [0; RANDOM];
            SystemRandom::new().fill(&mut random).map_err(|_| TokenError::Random)?;
            let token = lower_hex(&random);
            let hash = TokenHash::of(token.as_bytes());
            write(&path, &hash).map_err(|error| TokenError::File(path, error))?;
            Ok((hash, Some(token)))
        }
        Err(error) => Err(TokenError::File(path, error)),
    }
}

/// Written aside and moved into place, so that it is there whole or not at all.
fn write(path: &Path, hash: &TokenHash) -> io::Result<()> {
    let aside = path.with_extension("new");
    match fs::remove_file(&aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside)?;
    file.write_all(format!("{PREFIX}{}\n", lower_hex(&hash.0)).as_bytes())?;
    file.sync_all()?;
    fs::rename(&aside, path)
}

fn parse(octets: &[u8]) -> Option<TokenHash> {
    let text = std::str::from_utf8(octets).ok()?.trim_end().strip_prefix(PREFIX)?;
    if text.len() != 2 * SHA256_OUTPUT_LEN || !text.is_ascii() {
        return None;
    }
    let mut hash = [0; SHA256_OUTPUT_LEN];
    for (octet, digits) in hash.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let digit = |octet: u8| (octet as char).to_digit(16);
        let [high, low] = *digits else { return None };
        *octet = u8::try_from(digit(high)? * 16 + digit(low)?).ok()?;
    }
    Some(TokenHash(hash))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_token_is_made_once_and_only_its_hash_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let (hash, token) = load_or_make(directory.path()).unwrap();
        let token = token.unwrap();
        assert_eq!(token.len(), 2 * RANDOM);
        assert!(hash.is_of(token.as_bytes()));
        for other in ["", &token[1..], &format!("{token} "), &token.to_uppercase()] {
            assert!(!hash.is_of(other.as_bytes()), "{other:?}");
        }
        let path = directory.path().join(FILE);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with(PREFIX) && !text.contains(&token), "{text}");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(load_or_make(directory.path()).unwrap(), (hash, None));
        fs::remove_file(&path).unwrap();
        let (other, again) = load_or_make(directory.path()).unwrap();
        assert!(again.is_some() && other != hash);
    }

    #[test]
    fn a_file_that_is_something_else_lets_nobody_in_and_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE);
        for text in ["", "sha256:", "sha256:00", &format!("sha256:{}", "g".repeat(64)), "secret"] {
            fs::write(&path, text).unwrap();
            assert!(
                matches!(load_or_make(directory.path()), Err(TokenError::Damaged(_))),
                "{text}"
            );
            assert!(open(directory.path()).is_none());
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        let nowhere = directory.path().join("nowhere");
        assert!(matches!(load_or_make(&nowhere), Err(TokenError::File(..))));
    }
}
