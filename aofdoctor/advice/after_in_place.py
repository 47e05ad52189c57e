"""What to do after an edit in place: prove the result, and start the server."""

from aofdoctor import text
from aofdoctor.advice.step import Step
from aofdoctor.advice.stopping import start_step
from aofdoctor.aof.model import AOF
from aofdoctor.edit.preconditions import require_complete_set
from aofdoctor.errors import RefusedEdit


def steps_after_in_place(aof: AOF) -> list[Step]:
    """The steps that follow an edit in place; a set with missing files is to be repaired before a server starts."""
    path = text.shell_quote(aof.path)
    try:
        require_complete_set(aof)
    except RefusedEdit as problem:
        return [
            Step(f"do not start a server on it yet ({problem}), but see what is left", (f"aofdoctor check {path}",))
        ]
    verify = Step("load it in a private server, and look at the number of keys", (f"aofdoctor verify {path}",))
    return [verify, start_step((), "no" if aof.layout == "rdb" else "yes")]
