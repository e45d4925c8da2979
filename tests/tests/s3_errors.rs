//! A bucket that does what it was asked and says something else, or says what no bucket says: whatever comes, nothing
//! acknowledged is lost, nothing wrong is served or entered in the ledger, and when the answers are right again the study is
//! sealed (`reliability` classes: 409, 412, 429, 500, 503 after commit; lost, late and broken answers; pages of a gateway).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use system_tests::generate::{Generator, Numbers};
use system_tests::meddling_proxy::{Meddle, MeddlingProxy};
use system_tests::oracle::{gives_back, holds, seal_now};
use system_tests::s3_server::S3Server;
use system_tests::sender::{Tally, send};
use system_tests::vellum::DataFolder;

/// An archive whose one store is a bucket behind a proxy.
struct World {
    // The server after what uses it.
    data: DataFolder,
    proxy: MeddlingProxy,
    make: Generator,
    tally: Tally,
    server: S3Server,
}

impl World {
    fn new(test: &str) -> Option<Self> {
        let server = S3Server::start()?;
        let proxy = MeddlingProxy::to(server.port());
        let data = DataFolder::fresh().with("VELLUM_SEAL__QUIET", "24h").with("VELLUM_SEAL__MAX_AGE", "24h");
        let data = server
            .environment_as("MAIN", proxy.port())
            .into_iter()
            .fold(data, |data, (key, value)| data.with(&key, value));
        let make = Generator::new(Numbers::announced(test));
        Some(Self { data, proxy, make, tally: Tally::default(), server })
    }

    /// A study is sealed while answers from one to another are meddled with. Gives how many requests there were, and with
    /// how many answers was meddled; afterwards it is sealed.
    fn seal_meddled(&mut self, http: std::net::SocketAddr, meddle: Meddle, first: u64, last: u64) -> (u64, usize) {
        let study = self.make.study();
        self.tally.add(send(http, self.make.files(&study, 0, 2, 700)));
        self.proxy.meddle(meddle, first, last);
        let sealed = self.data.run(["seal", "--now"]);
        let (requests, meddled) = self.proxy.behave();
        assert!(matches!(sealed.code, 0 | 1 | 3), "{meddle:?}: {}{}", sealed.out, sealed.err);
        let again = self.data.run(["seal", "--now"]);
        assert_eq!(again.code, 0, "{meddle:?} of {meddled:?}: {}{}{}", sealed.err, again.out, again.err);
        (requests, meddled.len())
    }

    fn each_answer(mut self, meddles: &[Meddle]) {
        let server = self.data.serve();
        let (requests, _) = self.seal_meddled(server.http, Meddle::Lost, u64::MAX, 0);
        assert!(requests > 3, "{requests} requests to seal a study");
        let mut meddled = 0;
        for meddle in meddles {
            for at in 1..=requests {
                meddled += self.seal_meddled(server.http, *meddle, at, at).1;
            }
            gives_back(&self.data, &self.tally, &format!("{meddle:?}"));
        }
        eprintln!("{meddled} answers of {requests} to seal a study, {} acknowledged", self.tally.acknowledged.len());
        assert!(meddled >= meddles.len() * 3, "nothing was meddled with");
        assert_eq!(server.stop(), 0, "it never ends by itself");
        holds(&self.data, &self.tally, "answers are right again");
    }
}

#[test]
fn i10_what_a_bucket_says_after_it_did_as_asked_is_a_question_and_not_an_answer() {
    let Some(world) = World::new("after commit") else { return };
    world.each_answer(&[409, 412, 500, 503].map(Meddle::AnswerAfter));
}

#[test]
fn i9_pages_of_a_gateway_and_broken_answers_are_never_taken_for_objects() {
    let Some(world) = World::new("gateway") else { return };
    world.each_answer(&[Meddle::PageAfter, Meddle::PageInstead, Meddle::Shortened, Meddle::BrokenOff]);
}

#[test]
fn i10_a_lost_or_late_answer_and_a_refusal_lose_nothing() {
    let Some(world) = World::new("lost") else { return };
    let instead = [403, 404, 429].map(Meddle::AnswerInstead);
    world.each_answer(&[&[Meddle::Lost, Meddle::Late(40)], instead.as_slice()].concat());
}

#[test]
fn i1_a_bucket_that_refuses_or_misleads_for_long_keeps_nobody_from_receiving() {
    let Some(mut world) = World::new("for long") else { return };
    let server = world.data.serve();
    for meddle in [Meddle::AnswerInstead(503), Meddle::PageInstead, Meddle::AnswerInstead(404)] {
        let study = world.make.study();
        world.tally.add(send(server.http, world.make.files(&study, 0, 2, 700)));
        world.proxy.meddle(meddle, 1, u64::MAX);
        let tried = world.data.run(["seal", "--now"]);
        assert!(tried.out.contains("0 packs") || tried.code != 0, "{meddle:?}: {}{}", tried.out, tried.err);
        let study = world.make.study();
        world.tally.add(send(server.http, world.make.files(&study, 0, 2, 700)));
        world.proxy.behave();
    }
    seal_now(&world.data);
    assert_eq!(server.stop(), 0);
    holds(&world.data, &world.tally, "the bucket is back");
}

#[test]
fn another_archives_bucket_is_refused_and_nothing_is_written_to_it() {
    let (Some(mut ours), Some(other)) = (World::new("ours"), World::new("another's")) else { return };
    let server = ours.data.serve();
    let study = ours.make.study();
    ours.tally.add(send(server.http, ours.make.files(&study, 0, 2, 700)));
    assert_eq!(server.stop(), 0);
    assert_eq!(other.data.serve().stop(), 0, "another archive's");
    let before = system_tests::oracle::digests_below(&other.server.bucket_folder());
    let endpoint = "VELLUM_STORES__MAIN__ENDPOINT";
    ours.data.set(endpoint, format!("http://127.0.0.1:{}", other.proxy.port()));
    for verb in ["serve", "seal"] {
        let refused = ours.data.run([verb]).expect_code(5);
        assert!(refused.err.contains("belongs to archive"), "{}", refused.err);
    }
    let mut after = system_tests::oracle::digests_below(&other.server.bucket_folder());
    let mut before = before;
    before.sort();
    after.sort();
    assert_eq!(before, after, "something was written to another archive's bucket");
    ours.data.set(endpoint, format!("http://127.0.0.1:{}", ours.proxy.port()));
    holds(&ours.data, &ours.tally, "the right bucket");
}

#[test]
fn stores_in_each_others_places_are_refused_and_put_back_nothing_is_missing() {
    let data = DataFolder::fresh()
        .with("VELLUM_SEAL__QUIET", "24h")
        .with("VELLUM_SEAL__MAX_AGE", "24h")
        .with("VELLUM_STORES__MAIN__PATH", "store")
        .with("VELLUM_STORES__SECOND__PATH", "second-store");
    let mut make = Generator::new(Numbers::announced("swapped"));
    let server = data.serve();
    let study = make.study();
    let tally = send(server.http, make.files(&study, 0, 3, 700));
    seal_now(&data);
    assert_eq!(server.stop(), 0);
    let (main, second, aside) =
        (data.path().join("store"), data.path().join("second-store"), data.path().join("aside"));
    let swap = || {
        std::fs::rename(&main, &aside).unwrap();
        std::fs::rename(&second, &main).unwrap();
        std::fs::rename(&aside, &second).unwrap();
    };
    swap();
    let refused = data.run(["serve"]).expect_code(5);
    assert!(refused.err.contains("store"), "{}", refused.err);
    swap();
    holds(&data, &tally, "put back");
}
