r"""What a record looks like in the ring: the contract between the recorder's twins and the drain.

An event is 1 to `MAX_SLOTS` consecutive slots of 32 bytes, little-endian, written or dropped as a
whole. Its first slot is a header::

    t_ns u64 | kind u8 | slots u8 | flags u16 | ref u32 | a u64 | b u64

`t_ns` is the recorder's monotonic clock, `ref` the number of a site (see `_py.sites`) or of a name.
By kind:

* STEP, one step of a task, the case that must be cheap: t = resume, ref = site of the wait that
  ended; then, instead of a and b, four u32: task, waker, ready_ns, busy_ns.
* WIDE, the same where a number needs more than 32 bits: a = task, b = waker; slot 2: ready_ns,
  busy_ns.
* BIRTH: ref = site of the coroutine's code (UNCODED: a name), a = task, b = creator (0: no task);
  slot 2: span_owner u64, span_seq u32, length of the name u32, 16 bytes of it; then its rest.
* NAME: a = task; slot 2 …: the name (eager tasks, whose name is known after their first step).
* ABANDON: a = task, which was destroyed without ever finishing.
* FAILURE: a = task, ref = site of the traceback; slot 2 …: "type\\0message" in UTF-8.
* MORE: a = task; goes on with the text of the FAILURE before.
* OPEN, a user span begins: a = owner, b = seq, ref = name; slot 2: parent_owner, parent_seq, site.
* CLOSE, it ends: a = owner, b = seq, flags = a set of `CloseFlag`.
* EVENT, something happened in it: a = owner, b = seq, ref = name.
* ATTRIBUTE: a = owner, b = seq, ref = name of the key, flags = a `Value` type; slot 2 …: the value.
* JOB, a job of an executor: t = start, a = task that submitted it, b = number of the job, ref =
  site of the function (UNCODED: a name); slot 2: queue_ns, run_ns.
* SUBMIT, a task submits one: a = task, b = number of the job. What is innermost in the task then is
  the job's parent, whatever the task does until the job ends.
* CALL, an awaited coroutine that is over (awaits="all"): t = start, a = task, b = seq, ref = site
  of its code, flags = a set of `CallFlag`; slot 2: duration_ns, parent_seq (0: the task), parent's
  start.
* IN_CALL: one that is still open when its task is suspended for the first time in it: as its CALL,
  without the duration. Several come outermost first. The task is in the last one until that ends,
  then in its parent; where it is in another one, that is named again (0: in none).
* CONTEXT, another OpenTelemetry span is current than the last time: a = task, flags = a set of
  `ContextFlag`, b = span id; slot 2: trace id (upper and lower half), begin (0: unknown). Before a
  BIRTH it is what the task inherits; before an OPEN outside of tasks, what is around that; else
  what is current where the task opens a user span, submits a job or is suspended (its STEP
  follows).
* LOST: a = number of events that found the ring full since the last one that did not.

While somebody wants to see coroutines nested in each other (`Recorder.nesting`):

* CHAIN, a task is suspended (its STEP precedes): ref = site of the whole await chain, a = task, b =
  how many of the outermost coroutines were suspended in the chain before as well.

What profilers show and spans do not (`aperf._events`, `aperf._instrument.locks`):

* PLOT, a value: ref = name, flags = a set of `PlotFlag`, a = the value (signed, or a double).
* MESSAGE: a = task (0: the thread), flags = severity 0 … 5 and a set of `MessageFlag`, b = colour
  0xRRGGBB; slot 2 …: text in UTF-8. With MORE it goes on in the ring's next MESSAGE.
* FRAME: ref = name of the set (0: the default one), flags = a `FrameOp`.
* IMAGE, a picture of the frame that the last mark of the default set ended: a = number of the
  picture (`Cold.pictures`).
* LOCK: a = number of the lock, b = task, else thread identifier (OF_THREAD), flags = a `LockOp` and
  a set of `LockFlag`; ref = name (ANNOUNCE), else site.
* MEMORY: ref = name of the pool (0: none), flags = a `MemoryOp`, a = address, b = size; slot 2
  (ALLOCATE): site of the allocation, 0 for none.
* GPU: a = number of the context, flags = a `GpuOp`, then by operation: CONTEXT ref = name, b = time
  of the device, slot 2: ns per tick (double), kind; BEGIN ref = name, b = query, slot 2: site;
  END b = query; TIME b = query, slot 2: time of the device; CALIBRATE b = time of the device.
* SAMPLE: ref = site of the stack of a running thread, a = thread identifier.

Owners of user spans are tasks or, outside of them, threads, with numbers from the same counter.
Number 0 is the task's own span: EVENT and ATTRIBUTE may name it. OPEN's parent (0, 0) is none. It
belongs to another owner only where a thread or a callback inherited the context of a task. An EVENT
that the program dates back stands later in the ring than its time says.

Values of attributes: text in UTF-8, truth in one byte, integers (signed) and numbers of sites in 8,
doubles; the zeros that fill the slot end a text. A sequence begins with a bare ITEM, without type
and value: it is empty so far, whatever the key said before. Each ITEM with a type adds one element;
those of one sequence are of one type.
"""

from __future__ import annotations

import enum
import struct
from typing import Final

__all__ = (
    "HEADER",
    "MAX_PAYLOAD",
    "MAX_SLOTS",
    "NARROW",
    "NEAR",
    "PAIR",
    "SLOT",
    "BirthFlag",
    "CallFlag",
    "CloseFlag",
    "ContextFlag",
    "Descent",
    "FrameOp",
    "GpuOp",
    "Hint",
    "Kind",
    "LockFlag",
    "LockOp",
    "MemoryOp",
    "MessageFlag",
    "PlotFlag",
    "StepFlag",
    "Value",
)

SLOT: Final = 32
MAX_SLOTS: Final = 8
#: What fits behind the header, in bytes.
MAX_PAYLOAD: Final = (MAX_SLOTS - 1) * SLOT

HEADER: Final = struct.Struct("<QBBHIQQ")
NARROW: Final = struct.Struct("<QBBHIIIII")
#: The second slot of most kinds that have one.
PAIR: Final = struct.Struct("<QQQQ")
#: The second slot of BIRTH.
BIRTH: Final = struct.Struct("<QII16s")
#: Frames of an await chain that are kept of every wait, innermost first, besides the user's: enough
#: to tell what libraries build from an event or a condition (asyncio.Barrier is four deep).
NEAR: Final = 4
#: Names of tasks and values of attributes are cut here, in bytes of UTF-8.
MAX_TEXT: Final = 128


class Kind(enum.IntEnum):
    """Kinds of events."""

    STEP = 1
    WIDE = 2
    BIRTH = 3
    NAME = 4
    ABANDON = 5
    FAILURE = 6
    MORE = 7
    OPEN = 8
    CLOSE = 9
    EVENT = 10
    ATTRIBUTE = 11
    JOB = 12
    CALL = 13
    LOST = 14
    IN_CALL = 15
    CHAIN = 16
    PLOT = 17
    MESSAGE = 18
    FRAME = 19
    IMAGE = 20
    LOCK = 21
    MEMORY = 22
    GPU = 23
    SAMPLE = 24
    CONTEXT = 25
    SUBMIT = 26


#: Kinds that may use the last eighth of the ring: without them the others could not be understood.
#: So may the step that ends a task.
URGENT: Final = frozenset(
    {
        Kind.BIRTH,
        Kind.NAME,
        Kind.ABANDON,
        Kind.OPEN,
        Kind.CLOSE,
        Kind.LOST,
        Kind.CONTEXT,
    }
)


class StepFlag(enum.IntFlag):
    """Facts of a step."""

    FIRST = 1  #: the task had not run before; no wait ended
    DONE = 2  #: the task ended with this step
    FAILED = 4  #: … by an exception (a FAILURE precedes)
    CANCELLED = 8  #: … by its cancellation
    EAGER = 16  #: ran inside create_task
    WAIT_CANCELLED = 32  #: what it waited for was cancelled
    BY_TIMEOUT = 64  #: … by a timeout
    BY_CALLBACK = 128  #: … by a plain callback of the loop


class Descent(enum.IntEnum):
    """Who is the parent of a task."""

    RULES = 0  #: whoever made it, unless a plain callback did
    CHILD = 1  #: whoever made it, and whatever the callback inherited
    OWN = 2  #: nobody: each task begins a trace


class BirthFlag(enum.IntFlag):
    """Facts of a birth."""

    ADOPTED = 1  #: the task lived before it was seen
    UNCODED = 2  #: the coroutine has no code object: `ref` is a name
    CALLBACK = (
        4  #: made by a plain callback of a running loop (new connection, timer), not by a task
    )
    SUPPRESSED = 8  #: OpenTelemetry's context says that nobody is to be told of it


class CloseFlag(enum.IntFlag):
    """How a user span ended."""

    ERROR = 1  #: by an exception; an EVENT named "exception" precedes
    CANCELLED = 2  #: by the cancellation of the task
    ABANDONED = 4  #: nobody ended it, it was garbage collected


class ContextFlag(enum.IntFlag):
    """Facts of an OpenTelemetry span that is current."""

    SAMPLED = 1
    REMOTE = 2  #: it belongs to another process
    ENDED = 4
    SEEN = 8  #: remote, and a task was seen in it before
    NONE = 16  #: none is, any more


class CallFlag(enum.IntFlag):
    """Facts of an awaited coroutine."""

    SUSPENDED = 1  #: its task was suspended in it (an IN_CALL precedes)
    FAILED = 2  #: it ended by an exception
    CANCELLED = 4  #: … by a cancellation


class Hint(enum.IntFlag):
    """What a site's key holds beside its frames."""

    FULL = 1  #: the whole await chain, not just innermost and user's frame
    SHIELD = 2  #: the future awaited carries the callback of asyncio.shield
    EXECUTOR = 4  #: … the callback of asyncio.wrap_future


class PlotFlag(enum.IntFlag):
    """What a plot shows, and the type of the value."""

    FLOAT = 1
    MEMORY = 2  #: bytes
    PERCENTAGE = 4


class MessageFlag(enum.IntFlag):
    """Facts of a message, beside its severity in the lowest four bits."""

    COLORED = 16
    MORE = 32  #: the text goes on


class FrameOp(enum.IntEnum):
    """What happens to a set of frames."""

    MARK = 0  #: a frame ends, the next one begins
    BEGIN = 1
    END = 2


class LockOp(enum.IntEnum):
    """What happens to a lock, in the lowest four bits of the flags."""

    ANNOUNCE = 0
    WAIT = 1
    OBTAIN = 2
    RELEASE = 3
    GIVE_UP = 4  #: the wait ended without the lock
    TERMINATE = 5


class LockFlag(enum.IntFlag):
    """Facts of an event of a lock."""

    SHARED = 16  #: several may hold it (semaphores, queues)
    OF_THREAD = 32  #: b is the identifier of a thread, not a task


class MemoryOp(enum.IntEnum):
    """What happens to memory."""

    ALLOCATE = 0
    FREE = 1


class GpuOp(enum.IntEnum):
    """What happens on a device."""

    CONTEXT = 0
    BEGIN = 1
    END = 2
    TIME = 3
    CALIBRATE = 4


class Value(enum.IntEnum):
    """Types of attribute values. `ITEM` is added for elements of a sequence."""

    STRING = 1
    BOOL = 2
    INT = 3
    FLOAT = 4
    SITE = 5  #: the id of a site, to be shown as a stack trace
    ITEM = 16
    OF_EVENT = 32  #: belongs to the last EVENT, not to the span itself
