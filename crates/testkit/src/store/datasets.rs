//! Applications' tables and the jobs over them.

use chancery_domain::census::{Counted, Source};
use chancery_domain::datasets::{Dataset, DatasetColumn, DatasetCompound, DatasetJob, JobState, Work};
use chancery_domain::ids::{DatasetId, DatasetJobId, KeyId};

use super::{Backend, begin, changed, commit, taken, view};
use crate::samples::{NOW, OURS, THEIRS, bytes};

fn dataset(n: u64) -> Dataset {
    let column = |field: &str, terms_in| DatasetColumn {
        field: field.to_owned(),
        sealed_in: format!("{field}_encrypted"),
        terms_in,
        prefix_in: None,
        bucket_in: (field == "ssn").then(|| "ssn_bucket".to_owned()),
    };
    Dataset {
        id: DatasetId::from_bytes(bytes(n)),
        name: format!("set-{n}"),
        url_file: "clinic.url".to_owned(),
        table: "public.Patients".to_owned(),
        field_table: "patients".to_owned(),
        row_column: "id".to_owned(),
        columns: vec![column("ssn", Some("ssn_hash".to_owned())), column("name", None)],
        compounds: match n % 2 {
            1 => vec![DatasetCompound { index: "person".to_owned(), terms_in: "person_hash".to_owned() }],
            _ => Vec::new(),
        },
        created_at: NOW,
        updated_at: NOW,
        registered_by: format!("usr_{n}"),
    }
}

fn job(n: u64) -> DatasetJob {
    DatasetJob {
        id: DatasetJobId::from_bytes(bytes(n)),
        dataset: dataset(1).id,
        work: Work::Reseal,
        state: JobState::Queued,
        rows_per_second: 20_000,
        pass: 1,
        column_at: 0,
        row_at: None,
        todo: 1 << 40,
        seen: 0,
        moved: 0,
        overtaken: 0,
        failed: 0,
        pass_moved: 0,
        problem: None,
        claimed_by: None,
        claimed_until: None,
        created_at: NOW,
        updated_at: NOW,
        ended_at: None,
    }
}

/// Nothing of a dataset is lost; they come by name.
pub async fn a_dataset_reads_back(store: &impl Backend) {
    commit!(store, OURS, .put_dataset(&dataset(2)) .put_dataset(&dataset(1)));
    assert_eq!(view(store, OURS).await.datasets().await.unwrap(), [dataset(1), dataset(2)]);
    assert_eq!(view(store, OURS).await.dataset("set-2").await.unwrap(), Some(dataset(2)));
    assert_eq!(view(store, OURS).await.dataset("set-3").await.unwrap(), None);
}

/// The same id again replaces everything but the moment of its making.
pub async fn a_dataset_is_replaced(store: &impl Backend) {
    let mut changed = dataset(2);
    (changed.id, changed.updated_at) = (dataset(1).id, NOW.plus_seconds(1));
    commit!(store, OURS, .put_dataset(&dataset(1)) .put_dataset(&changed));
    assert_eq!(view(store, OURS).await.datasets().await.unwrap(), [changed]);
}

/// A name is one dataset's.
pub async fn a_name_is_taken_once(store: &impl Backend) {
    let mut double = dataset(2);
    double.name = dataset(1).name;
    commit!(store, OURS, .put_dataset(&dataset(1)));
    assert!(taken(begin(store, OURS).await.put_dataset(&double).await, "dataset"));
}

/// What was counted in a table that is no longer registered says nothing any more.
pub async fn a_removed_dataset_takes_its_jobs_and_counts(store: &impl Backend) {
    let key = KeyId::from_bytes(bytes(1));
    let count = |source| Counted { key, version: 1, source, count: 3, counted_at: NOW };
    let (of_table, reported) =
        (count(Source::Dataset(dataset(1).id, "ssn".to_owned())), count(Source::Reported("usr_a".to_owned())));
    commit!(store, OURS, .put_dataset(&dataset(1)) .insert_dataset_job(&job(1)) .put_count(&of_table) .put_count(&reported));
    commit!(store, OURS, .delete_dataset(dataset(1).id));
    let mut view = view(store, OURS).await;
    assert_eq!(view.datasets().await.unwrap(), []);
    assert_eq!(view.dataset_job(job(1).id).await.unwrap(), None);
    assert_eq!(view.counts(key).await.unwrap(), [reported]);
}

/// Nothing of a job is lost, and only those that have not ended are open.
pub async fn a_job_reads_back(store: &impl Backend) {
    let mut ended = job(2);
    (ended.state, ended.ended_at, ended.problem) = (JobState::Failed, Some(NOW), Some("unreachable".to_owned()));
    commit!(store, OURS, .put_dataset(&dataset(1)) .insert_dataset_job(&job(1)) .insert_dataset_job(&ended));
    let mut view = view(store, OURS).await;
    assert_eq!(view.dataset_job(ended.id).await.unwrap(), Some(ended));
    assert_eq!(view.open_dataset_jobs().await.unwrap(), [job(1)]);
}

/// Of two nodes one has it, until its time is over; who has it may take it again.
pub async fn a_job_has_one_node(store: &impl Backend) {
    commit!(store, OURS, .put_dataset(&dataset(1)) .insert_dataset_job(&job(1)));
    let claim = async |node: &str, after: i64| {
        let mut tx = begin(store, OURS).await;
        let now = NOW.plus_seconds(after);
        let claimed = tx.claim_dataset_job(job(1).id, node, now, now.plus_seconds(10)).await.unwrap();
        tx.commit().await.unwrap();
        claimed
    };
    assert!(claim("one", 0).await);
    assert!(!claim("two", 9).await);
    assert!(claim("one", 9).await);
    assert!(!claim("two", 18).await);
    assert!(claim("two", 19).await);
    let found = view(store, OURS).await.dataset_job(job(1).id).await.unwrap().unwrap();
    assert_eq!((found.state, found.claimed_by.as_deref()), (JobState::Running, Some("two")));
}

/// Who lost the job to another node changes nothing, and an ended one is nobody's.
pub async fn a_lost_job_is_not_saved(store: &impl Backend) {
    commit!(store, OURS, .put_dataset(&dataset(1)) .insert_dataset_job(&job(1)));
    commit!(store, OURS, .claim_dataset_job(job(1).id, "two", NOW, NOW.plus_seconds(10)));
    let mut on = job(1);
    (on.state, on.row_at, on.moved, on.claimed_by) =
        (JobState::Running, Some("i42".to_owned()), 42, Some("two".to_owned()));
    (on.seen, on.pass, on.column_at, on.pass_moved, on.overtaken, on.failed) = (43, 2, 1, 5, 1, 2);
    on.claimed_until = Some(NOW.plus_seconds(20));
    assert!(changed(begin(store, OURS).await.save_dataset_job(&on, "one").await, "dataset_job"));
    commit!(store, OURS, .save_dataset_job(&on, "two"));
    assert_eq!(view(store, OURS).await.dataset_job(on.id).await.unwrap().as_ref(), Some(&on));
    (on.state, on.ended_at, on.claimed_by, on.claimed_until) = (JobState::Done, Some(NOW), None, None);
    commit!(store, OURS, .save_dataset_job(&on, "two"));
    let mut tx = begin(store, OURS).await;
    assert!(!tx.claim_dataset_job(on.id, "one", NOW, NOW.plus_seconds(10)).await.unwrap());
}

/// The rows of one tenant are out of sight for another.
pub async fn another_tenant_does_not_see_it(store: &impl Backend) {
    commit!(store, OURS, .put_dataset(&dataset(1)) .insert_dataset_job(&job(1)));
    let mut view = view(store, THEIRS).await;
    assert_eq!(view.datasets().await.unwrap(), []);
    assert_eq!(view.dataset("set-1").await.unwrap(), None);
    assert_eq!(view.dataset_job(job(1).id).await.unwrap(), None);
    assert_eq!(view.open_dataset_jobs().await.unwrap(), []);
}

/// And out of reach.
pub async fn another_tenant_does_not_change_it(store: &impl Backend) {
    commit!(store, OURS, .put_dataset(&dataset(1)) .insert_dataset_job(&job(1)));
    commit!(store, THEIRS, .delete_dataset(dataset(1).id));
    let mut tx = begin(store, THEIRS).await;
    assert!(!tx.claim_dataset_job(job(1).id, "one", NOW, NOW.plus_seconds(10)).await.unwrap());
    drop(tx);
    assert_eq!(view(store, OURS).await.datasets().await.unwrap(), [dataset(1)]);
    assert_eq!(view(store, OURS).await.open_dataset_jobs().await.unwrap(), [job(1)]);
}
