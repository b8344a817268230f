mod local {
    use chancery_kms::Local;

    async fn open() -> Option<(tempfile::TempDir, Local)> {
        let folder = tempfile::tempdir().unwrap();
        let provider = Local::create(&folder.path().join("root.key")).unwrap();
        Some((folder, provider))
    }

    async fn reopen(folder: &tempfile::TempDir) -> Local {
        Local::open(&folder.path().join("root.key")).unwrap()
    }

    chancery_testkit::key_provider_conformance!(open, reopen);
}

mod recovery {
    use chancery_crypto::Secret;
    use chancery_kms::Recovery;

    async fn open() -> Option<(Secret<String>, Recovery)> {
        let (provider, text) = Recovery::make().unwrap();
        Some((text, provider))
    }

    async fn reopen(text: &Secret<String>) -> Recovery {
        Recovery::parse(text.expose()).unwrap()
    }

    chancery_testkit::key_provider_conformance!(open, reopen);
}
