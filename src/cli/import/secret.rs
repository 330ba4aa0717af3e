//! The login at the broker. A password is repeated only if that was asked for.

use super::draft::{Draft, Origin, Place};

/// The login of the other gateway, with its places.
pub(super) struct Login<'a> {
    pub(super) username: Option<(&'a str, Origin)>,
    pub(super) password: Option<(&'a str, Origin)>,
    /// What the password is called there.
    pub(super) password_key: &'a str,
}

/// Writes it to `[upstream]`.
pub(super) fn write_login(login: &Login<'_>, passwords: bool, draft: &mut Draft) {
    let username = login.username.filter(|(name, _)| !name.is_empty());
    if let Some((name, from)) = username {
        draft.section(Place::Upstream).text("username", name, Some(from));
    }
    let Some((password, from)) = login.password.filter(|(password, _)| !password.is_empty()) else {
        return;
    };
    if username.is_none() {
        let reason = "There is no user name to it; `username` and `password_file` go together.";
        return draft.leave(from, login.password_key, "(hidden)", reason);
    }
    let place = draft.name(from);
    let upstream = draft.section(Place::Upstream);
    if passwords {
        upstream.comment("Keep this file from other users, or use password_file.");
        upstream.text("password", password, Some(from));
        return;
    }
    upstream.comment(format!(
        "The password is not repeated here: put what {place} says into a file that only the gateway's user can \
         read (chmod 600), and take the \"#\" away. Without it the broker will refuse the login."
    ));
    upstream.shown("password_file", "broker-password");
}
