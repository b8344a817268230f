//! The names that secrets, personal data and schedules go by (AU-10, AU-11), in whatever style somebody writes them: `api_key`,
//! `apiKey`, `x-api-key`, `X_API_KEY`, `dbPassword`, `patient.lastName`.

use std::{collections::HashMap, sync::LazyLock};

use super::cleaner::Class;

/// Written without what separates words.
const SECRETS: &str = "accesskey accesskeyid accesstoken apikey apikeys apitoken authorization authtoken backupcode \
    backupkey bearer clientsecret codeverifier connectionstring cookie cookies credential credentials csrf csrftoken \
    databaseurl datakey dbkey dburl decryptionkey dpop dsn encryptionkey hmackey idtoken jwt keymaterial kek magiclink masterkey \
    mfacode mnemonic onetimecode otp otpcode passcode passkeyresponse passphrase passwd password passwords pepper pin plaintext \
    privatekey privkey proxyauthorization pwd recoverycode recoverycodes recoverykey refreshtoken resettoken rootkey secret secretid \
    secretkey secrets seed sessioncookie sessionkey sessiontoken setcookie signingkey token tokens totp unwrapped wrappingkey \
    xapikey";
const PERSONAL: &str = "accountnumber address addresses admissiondate allergies allergy beneficiary biometric birthdate birthday \
    birthplace certificatenumber city clientip clientname contactname dateofbirth dateofdeath deathdate diagnoses diagnosis \
    dischargedate displayname dob driverslicense email emailaddress emails emergencycontact employer ethnicity externalsubject \
    familyname fax faxnumber firstname forename fullname gender geolocation givenname guardian healthplan homeaddress homephone \
    icd icd10 immunization immunizations insurance insuranceid insurancenumber ip ipaddress labresult labresults lastname \
    latitude licencenumber licenseplate licensenumber longitude maidenname mail mailingaddress maritalstatus medicalhistory \
    medicalrecord medicalrecordnumber medication medications member memberid memberno membernumber middlename mobile mobilenumber \
    mothersname mrn mrns nationalid nextofkin npi passport passportnumber patient patientid patientname patients personname phi \
    phone phonenumber phones photo pii placeofbirth policynumber postalcode postcode prescription prescriptions preferredname race \
    religion remoteaddr remoteaddress remoteip sex sexualorientation socialsecurity socialsecuritynumber ssn ssns street \
    streetaddress surname symptom symptoms taxid telephone useragent username vehicleid vin voiceprint xforwardedfor xrealip zip \
    zipcode";
const SCHEDULES: &str = "absence absences absent appointment appointments assigned assignee assignment assignments availability \
    calendar dutyhours dutyroster holiday holidays oncall parentalleave rosters roster rota rotas schedule scheduled schedules \
    shift shifts sickleave sickness timeoff timesheet vacation vacations workinghours";

/// Found in a name of any length, also where nothing shows that a word begins there: `dbpassword`, `patientnameold`.
const ANYWHERE: [(&str, Class); 16] = [
    ("password", Class::SecretName),
    ("passwd", Class::SecretName),
    ("passphrase", Class::SecretName),
    ("secret", Class::SecretName),
    ("apikey", Class::SecretName),
    ("privatekey", Class::SecretName),
    ("authorization", Class::SecretName),
    ("credential", Class::SecretName),
    ("accesstoken", Class::SecretName),
    ("refreshtoken", Class::SecretName),
    ("patientname", Class::PersonalName),
    ("dateofbirth", Class::PersonalName),
    ("birthdate", Class::PersonalName),
    ("socialsecurity", Class::PersonalName),
    ("medicalrecord", Class::PersonalName),
    ("assignment", Class::ScheduleName),
];

/// A name that ends so tells of a secret without being one: `api_key.id`, `token_type`.
const TELLS_OF: [&str; 14] = [
    "id",
    "ids",
    "kid",
    "version",
    "versions",
    "kind",
    "type",
    "count",
    "state",
    "status",
    "expires",
    "at",
    "seconds",
    "algorithm",
];

/// So many words at most make one of the names.
const MOST_WORDS: usize = 4;

static KNOWN: LazyLock<HashMap<&str, Class>> = LazyLock::new(|| {
    let named = |names: &'static str, class: Class| names.split_whitespace().map(move |name| (name, class));
    // Where two lists have one, the graver class stays: it comes last.
    named(SCHEDULES, Class::ScheduleName)
        .chain(named(PERSONAL, Class::PersonalName))
        .chain(named(SECRETS, Class::SecretName))
        .collect()
});

/// What something of this name holds, if the name says that it may not be logged.
pub(super) fn known(name: &str) -> Option<Class> {
    let words = words(name);
    let stands = |class: &Class| *class != Class::SecretName || !tells_of(&words);
    let runs = (0..words.len()).flat_map(|from| (1..=MOST_WORDS).map(move |length| from..from + length));
    let of_words = runs.filter_map(|run| {
        let class = KNOWN.get(words.get(run.clone())?.concat().as_str()).copied();
        class.filter(|class| run.end == words.len() || stands(class))
    });
    let folded = words.concat();
    let inside = ANYWHERE.iter().filter(|(part, _)| folded.contains(part)).map(|(_, class)| *class);
    of_words.chain(inside.filter(stands)).min()
}

/// As [`known`], of words before a colon: only if the last of them end one of the names, for before them there may be any prose.
pub(super) fn known_at_the_end(words: &[&str]) -> Option<Class> {
    let words: Vec<String> = words.iter().map(|word| word.to_ascii_lowercase()).collect();
    let from = words.len().saturating_sub(MOST_WORDS);
    (from..words.len()).filter_map(|from| KNOWN.get(words.get(from..)?.concat().as_str()).copied()).min()
}

fn tells_of(words: &[String]) -> bool {
    words.last().is_some_and(|last| TELLS_OF.contains(&last.as_str()))
}

/// The words of a name in small letters. A word begins after what is no letter or digit, at a capital after a small letter, and at
/// the last of several capitals before a small one (`SSNNumber`).
fn words(name: &str) -> Vec<String> {
    let letters: Vec<char> = name.chars().collect();
    let mut words = vec![String::new()];
    for (at, letter) in letters.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|at| letters.get(at));
        let after = letters.get(at + 1);
        let begins = letter.is_uppercase()
            && (before.is_some_and(|before| before.is_lowercase() || before.is_ascii_digit())
                || before.is_some_and(|before| before.is_uppercase())
                    && after.is_some_and(|after| after.is_lowercase()));
        if begins || !letter.is_alphanumeric() {
            words.push(String::new());
        }
        if letter.is_alphanumeric()
            && let Some(word) = words.last_mut()
        {
            word.extend(letter.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_au_10_names_is_known_in_every_style() {
        for words in [
            &["password"][..],
            &["token"],
            &["secret"],
            &["api", "key"],
            &["authorization"],
            &["x", "api", "key"],
            &["credentials"],
            &["patient", "name"],
            &["ssn"],
            &["date", "of", "birth"],
        ] {
            let capital = |word: &&str| word[..1].to_uppercase() + &word[1..];
            let pascal: String = words.iter().map(capital).collect();
            let camel = words[0].to_owned() + &words[1..].iter().map(capital).collect::<String>();
            let styles = [
                words.join("_"),
                words.join("-"),
                words.join("."),
                words.join("_").to_uppercase(),
                words.join("-").to_uppercase(),
                words.concat(),
                words.concat().to_uppercase(),
                camel,
                pascal,
            ];
            for name in styles {
                assert!(known(&name).is_some(), "{name}");
                for longer in
                    [format!("user_{name}"), format!("{name}_old"), format!("my-{name}-2"), format!("the.{name}")]
                {
                    assert!(known(&longer).is_some(), "{longer}");
                }
            }
        }
    }

    #[test]
    fn schedules_are_known_as_au_11_asks() {
        for name in
            ["assignments", "absences", "staffAssignment", "ABSENCE_REASON", "on-call", "sick_leave", "shiftPlan"]
        {
            assert_eq!(known(name), Some(Class::ScheduleName), "{name}");
        }
    }

    #[test]
    fn words_are_found_where_nothing_separates_them() {
        for (name, class) in [
            ("dbpassword", Class::SecretName),
            ("patientSSN", Class::PersonalName),
            ("SSNNumber", Class::PersonalName),
            ("oldpatientname", Class::PersonalName),
            ("http.request.header.Authorization", Class::SecretName),
            ("patient_api_token", Class::SecretName),
        ] {
            assert_eq!(known(name), Some(class), "{name}");
        }
    }

    #[test]
    fn what_only_tells_of_a_secret_is_not_one() {
        for name in
            ["api_key.id", "tokenType", "session.id", "key_version", "secret_count", "passkey.id", "class_name", "key"]
        {
            assert_eq!(known(name), None, "{name}");
        }
        // Some ids are secrets, and every id of a person is personal.
        assert_eq!(known("secret_id"), Some(Class::SecretName));
        assert_eq!(known("patient_id"), Some(Class::PersonalName));
    }

    #[test]
    fn no_name_is_in_two_lists_and_all_are_folded() {
        let all = [SECRETS, PERSONAL, SCHEDULES].map(str::split_whitespace);
        let mut seen = std::collections::BTreeSet::new();
        for name in all.into_iter().flatten() {
            assert!(seen.insert(name), "{name}");
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()), "{name}");
        }
    }
}
