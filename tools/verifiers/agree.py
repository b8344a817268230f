#!/usr/bin/env python3
"""Gives every pack of testdata/packs, and what servers made, to the binary, to tools/verify_pack.py and to docs/verify.html, and wants
one answer.

They must agree in the verdict, the exit code, the certificates and every check that ran. `cargo xtask verifiers` runs this; `--packs
FOLDER` adds packs that a server has just made: `<name>.zip` beside `trust.json`, all of which must verify.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
import verify_pack  # noqa: E402


def jobs(folder, fresh):
    for case in json.loads((folder / "cases.json").read_text()):
        given = {"name": case["name"], "pack": folder / f"{case['name']}.zip", "trust": folder / case.get("trust", "trust.json")}
        if "checkpoint" in case:
            given["checkpoint"] = folder / case["checkpoint"]
        yield given, case["verdict"], case["fails"]
    kept = sorted(path for path in (ROOT / "testdata/packs-of-servers").iterdir() if path.is_dir())
    for of_server in kept + [fresh] * bool(fresh):
        day = "fresh" if of_server == fresh else f"of {of_server.name}:"
        for pack in sorted(of_server.glob("*.zip")):
            yield {"name": f"{day} {pack.stem}", "pack": pack, "trust": of_server / "trust.json"}, "verified", None


def mutated(folder, every):
    """Packs with one odd value: nobody says beforehand what is wrong with each, but all must say the same."""
    sys.path.insert(0, str(ROOT / "tools/verifiers"))
    import make_packs

    cases = []
    for number, (name, pack, trust) in enumerate(make_packs.mutations()):
        if number % every:
            continue
        job = {"name": f"odd {name}", "pack": folder / f"{number}.zip", "trust": folder / f"{number}.json"}
        job["pack"].write_bytes(pack)
        job["trust"].write_bytes(trust)
        cases.append((job, None, None))
    return cases


def by_binary(binary, job):
    command = [binary, "verify", "--json", job["pack"], "--trust", job["trust"]]
    command += ["--checkpoint", job["checkpoint"]] if "checkpoint" in job else []
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    try:
        report = json.loads(done.stdout)
    except ValueError:
        return {"verdict": f"no report: {done.stderr.strip()}", "exit_code": done.returncode, "certificates": [], "checks": []}
    if report["exit_code"] != done.returncode:
        report["verdict"] += f", but it ended with {done.returncode}"
    return report


def by_python(job):
    read = lambda name: job[name].read_bytes() if name in job else None
    return verify_pack.verify(read("pack"), read("trust"), read("checkpoint"))


def by_page(chromium, all_jobs, flip):
    asked = {"jobs": [{name: str(value) for name, value in job.items()} for job in all_jobs], "flip": flip}
    command = ["node", ROOT / "tools/verifiers/page.mjs", chromium, ROOT / "docs/verify.html"]
    done = subprocess.run(command, input=json.dumps(asked), capture_output=True, text=True, timeout=300)
    if done.returncode:
        sys.exit(f"docs/verify.html: {done.stderr}")
    return json.loads(done.stdout)


def essence(report):
    """What all must say alike: details are each one's own words."""
    certain = [report.get(name) for name in ("verdict", "exit_code", "tenant_id", "as_of", "certificates")]
    return certain, [(one["name"], one["ok"]) for one in report["checks"]]


def flipped(pack, trust):
    """Every byte of a small pack, changed."""
    good = pack.read_bytes()
    for at in range(len(good)):
        changed = bytearray(good)
        changed[at] ^= 1 << (at % 8)
        verdict = verify_pack.verify(bytes(changed), trust.read_bytes())["verdict"]
        if verdict not in ("failed", "unsupported"):
            sys.exit(f"byte {at} changed: {verdict}")
    return len(good)


def printed(pack, trust, code):
    """What the Python program prints where the locale has no ✓: UTF-8 all the same, and the verdict's exit code."""
    command = [sys.executable, "-B", ROOT / "tools/verify_pack.py", pack, "--trust", trust]
    done = subprocess.run(command, capture_output=True, timeout=60, env={**os.environ, "PYTHONIOENCODING": "cp1252"})
    mark = "✗" if code else "✓"
    if done.returncode != code or mark not in done.stdout.decode("utf-8", "replace"):
        sys.exit(f"{pack.name} in a locale of Windows: exit {done.returncode}\n{done.stderr.decode('utf-8', 'replace')}")


def large(options):
    """A pack of 100,000 events, by each verifier in a process of its own, as somebody with nothing else would run it."""
    sys.path.insert(0, str(ROOT / "tools/verifiers"))
    import make_packs

    with tempfile.TemporaryDirectory() as folder:
        pack, trust = pathlib.Path(folder) / "large.zip", pathlib.Path(folder) / "trust.json"
        for path, data in zip((pack, trust), make_packs.large()):
            path.write_bytes(data)
        ways = {
            "tools/verify_pack.py": [sys.executable, "-B", ROOT / "tools/verify_pack.py", pack, "--trust", trust],
            "chancery verify": [options.binary, "verify", pack, "--trust", trust],
        }
        if options.chromium:
            ways["docs/verify.html"] = ["node", ROOT / "tools/verifiers/page.mjs", options.chromium, ROOT / "docs/verify.html", pack, trust]
        late = []
        for name, command in ways.items():
            start = time.monotonic()
            done = subprocess.run(command, capture_output=True, text=True, timeout=300)
            seconds = time.monotonic() - start
            print(f"100,000 events, {pack.stat().st_size >> 20} MiB: {name} in {seconds:.1f} s")
            if done.returncode or seconds >= 10:
                late.append(f"{name}: exit {done.returncode} after {seconds:.1f} s\n{done.stderr}{done.stdout[-300:]}")
    return "\n".join(late) or 0


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", required=True, help="chancery")
    # One verifier less is no agreement of all: that is said, and does not just happen.
    page_by = parser.add_mutually_exclusive_group(required=True)
    page_by.add_argument("--chromium", help="the browser")
    page_by.add_argument("--without-page", action="store_true", help="leave docs/verify.html out, where there is no browser")
    parser.add_argument("--packs", type=pathlib.Path, metavar="FOLDER")
    parser.add_argument("--mutations", type=int, default=0, metavar="N", help="also every Nth of some thousand packs with one odd value")
    parser.add_argument("--large", action="store_true", help="also time a pack of 100,000 events; each must be done in 10 s")
    parser.add_argument("--step", type=int, default=7, help="the page gets every so manieth byte changed")
    options = parser.parse_args()
    folder, start = ROOT / "testdata/packs", time.monotonic()
    cases = list(jobs(folder, options.packs))
    odd_folder = tempfile.TemporaryDirectory()
    if options.mutations:
        cases += mutated(pathlib.Path(odd_folder.name), options.mutations)
    small = {"pack": folder / "one-certificate.zip", "trust": folder / "trust.json"}
    printed(**small, code=0)
    printed(folder / "certificate-forged.zip", folder / "trust.json", code=30)
    page = {}
    if options.chromium:
        flip = {"pack": str(small["pack"]), "trust": str(small["trust"]), "step": options.step}
        page = by_page(options.chromium, [job for job, *_ in cases], flip)
    odd = 0
    for job, verdict, fails in cases:
        reports = {"python": by_python(job), "binary": by_binary(options.binary, job)}
        if page:
            reports["page"] = page["reports"][job["name"]]
        failing = [next((one["name"] for one in report["checks"] if not one["ok"]), None) for report in reports.values()]
        wanted = verdict is None or (all(report["verdict"] == verdict for report in reports.values()) and set(failing) == {fails})
        if not wanted or len({json.dumps(essence(report), sort_keys=True) for report in reports.values()}) != 1:
            odd += 1
            print(f"{job['name']}: {verdict} at {fails} was wanted")
            for name, report in reports.items():
                print(f"  {name:7} {report['verdict']} {report['exit_code']} {report['certificates']}")
                print("         ", " ".join(f"{'' if one['ok'] else '!'}{one['name']}" for one in report["checks"][-8:]), report["checks"][-1:])
    if odd:
        return f"{odd} of {len(cases)} packs: no agreement"
    names = ["tools/verify_pack.py", "chancery verify"] + [f"docs/verify.html in {page.get('product')}"] * bool(page)
    print(f"{len(cases)} packs: one answer from {', '.join(names)}")
    print(f"changed bytes of a small pack, all refused: {flipped(**small)} by Python, {page.get('flipped', 0)} by the page")
    print(f"{time.monotonic() - start:.1f} s")
    return large(options) if options.large else 0


if __name__ == "__main__":
    sys.exit(main())
