export const USAGE = `Usage: ovms-conformance wrapper PROGRAM [options]
       ovms-conformance runtime --start COMMAND [options]
       ovms-conformance runtime --socket PATH [options]
       ovms-conformance adapter PROGRAM [options]
       ovms-conformance agent PROGRAM [options]
       ovms-conformance registry URL [options]
       ovms-conformance [SUBJECT] --list [options]

Tests an implementation of OVMS from outside (spec/conformance.md).

Subjects:
  wrapper PROGRAM      a reader and writer, behind an executable that answers
                       pack, push, pull, validate, inspect, verify and sign, and
                       more if it does more
  runtime              what serves the runtime API: by a COMMAND that serves it
                       at $OVMS_CONFORMANCE_HOME/ovm.sock, which is started,
                       killed and started again; or where it serves already
  adapter PROGRAM      a program ovm-vmm-NAME that drives a VMM by the adapter
                       contract (spec/runtimes/adapter.md)
  agent PROGRAM        an agent (spec/agent.md) whose channel is descriptor 3 of
                       the program
  registry URL         a registry, as http://HOST:PORT: whether it can carry OVMS;
                       what is pushed goes into repositories below ovms-suite/

Options:
  --profile LIST       only checks of these profiles: core, snapshot, signing,
                       agent, uefi, import
  --only LIST          only checks of these names, with this in their names, or
                       for these requirements, such as OVMS-API-044
  --linux LAYOUT       a machine with Linux (spec/conformance.md), for what takes a
                       guest with a shell, and a wrapper's builds to run
                       steps in; skipped without
  --wrapper PROGRAM    of a runtime: the wrapper that imports container images,
                       which are booted then; skipped without
  --name NAME          what the report calls the implementation
  --report FOLDER      write report.txt, .json, .xml (JUnit), .html and badges
  --json               print the report as JSON
  --jobs N             how many processors checks keep busy; 2 unless told
  --limit SECONDS      how long a check may take; 120 unless told
  --list               print the checks and what they cover
  -h, --help           show help
  -V, --version        print the versions of suite and specification

Exit status: 0 all passed or skipped, 1 a check failed or none passed, 2 the
suite itself is at fault or was used wrongly.
`
