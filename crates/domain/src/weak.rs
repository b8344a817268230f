//! Passwords and secrets that everyone tries first (CF-03, MF-06).

/// Known weak or default values, in lower case.
const WEAK: &[&str] = &[
    "password",
    "password1",
    "password123",
    "passw0rd",
    "p@ssw0rd",
    "123456",
    "12345678",
    "123456789",
    "1234567890",
    "111111",
    "000000",
    "qwerty",
    "qwerty123",
    "qwertyuiop",
    "abc123",
    "letmein",
    "welcome",
    "welcome1",
    "iloveyou",
    "monkey",
    "dragon",
    "admin",
    "admin123",
    "administrator",
    "root",
    "toor",
    "test",
    "test123",
    "guest",
    "user",
    "default",
    "secret",
    "changeme",
    "change_me",
    "change-me",
    "changeit",
    "dev_only_password",
    "scheduler",
    "postgres",
    "redis",
    "your_secret_key_here",
    "your_secret_key_here_generate_a_random_64_char_string",
    "your-secret-key",
    "supersecret",
    "supersecretkey",
    "replace_me",
];

/// The fewest characters of a secret.
const MIN_SECRET_CHARS: usize = 32;

/// Whether a value is on the list, as it is or in lower case.
pub fn is_weak(value: &str) -> bool {
    WEAK.contains(&value) || WEAK.contains(&value.to_lowercase().as_str())
}

/// All that is wrong with a value meant as a secret. Never repeats it.
pub fn secret_faults(value: &str) -> impl Iterator<Item = &'static str> {
    let short = value.chars().count() < MIN_SECRET_CHARS;
    let short = short.then_some("is a secret of under 32 characters");
    short.into_iter().chain(is_weak(value).then_some("is a well-known weak or default value"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_lower_case_and_about_forty_long() {
        assert!((40..=60).contains(&WEAK.len()));
        assert!(WEAK.iter().all(|weak| weak.to_lowercase() == *weak));
    }

    #[test]
    fn weak_values_are_found_in_any_case() {
        assert!(is_weak("ChangeMe"));
    }

    #[test]
    fn a_secret_is_long_and_unknown() {
        let count = |value| secret_faults(value).count();
        assert_eq!(count("Your_Secret_Key_Here_Generate_A_Random_64_Char_String"), 1);
        assert_eq!(count("short"), 1);
        assert_eq!(count("changeme"), 2);
        assert_eq!(count("0123456789abcdef0123456789abcdef"), 0);
    }
}
