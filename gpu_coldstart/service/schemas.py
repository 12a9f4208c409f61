"""What requests hold, checked in one pass over their bytes, and what answers look like."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, ValidationError
from pydantic_core import CoreSchema, core_schema

from gpu_coldstart.serving.recommender import Event, Question

__all__ = [
    "Action",
    "AnswerOut",
    "AnswersOut",
    "CarouselsOut",
    "Entity",
    "EventIn",
    "EventsIn",
    "EventsOut",
    "FoundOut",
    "Id",
    "ModelOut",
    "ProblemOut",
    "QuestionIn",
    "QuestionsIn",
    "ReloadOut",
    "SegmentOut",
    "StatusOut",
    "first_problem",
]

Action = Literal["stream", "skip", "favorite", "ban", "search", "onboarding"]
Entity = Literal["track", "artist", "album", "playlist"]

LONGEST_LIST = 1000
MOST_USERS = 1000


class _Id:
    """Text or a 64-bit integer; a mistake is told in one message, not in one for each type."""

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.union_schema(
            [
                core_schema.str_schema(strict=True, min_length=1, max_length=256),
                core_schema.int_schema(strict=True, ge=-(2**63), le=2**63 - 1),
            ],
            custom_error_type="id",
            custom_error_message="Input should be text of 1 to 256 characters or a 64-bit integer",
        )


Id = Annotated[str | int, _Id]
Age = Annotated[int, Field(ge=0, le=130)]
Country = Annotated[str, Field(max_length=64)]
Strategy = Annotated[str, Field(min_length=1, max_length=64)]
Length = Annotated[int, Field(ge=1, le=LONGEST_LIST, description="Length of the list.")]


class _In(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class EventIn(_In):
    """Something that a user did on the day of registration."""

    action: Action
    entity: Entity
    id: Id = Field(description="Of the entity.")
    count: float = Field(1.0, gt=0, le=1e9, allow_inf_nan=False, description="How often.")
    timestamp: datetime | None = Field(
        None, description="When; the model takes all events for those of the first day."
    )


class _KnownIn(_In):
    country: Country | None = None
    age: Age | None = Field(None, description="In years.")
    events: list[EventIn] = Field(default_factory=list)

    def said(self) -> tuple[Event, ...]:
        """The events as the model takes them."""
        return tuple([Event(each.action, each.entity, each.id, each.count) for each in self.events])


class QuestionIn(_KnownIn):
    """Who wants which list."""

    user_id: Id | None = Field(None, description="Echoed in the answer, and not looked up.")
    k: Length = 50
    strategy: Strategy | None = Field(None, description="The model's default if absent.")
    exclude_seen: bool | None = Field(
        None, description="Leave out what the user streamed; the model's own setting if absent."
    )
    explain: bool = Field(default=False, description="Add reasons.")

    def question(self) -> Question:
        """The question as the model takes it."""
        return Question(
            self.country,
            self.age,
            self.said(),
            self.k,
            self.strategy,
            self.exclude_seen,
            self.explain,
        )


class QuestionsIn(_In):
    """Many of them."""

    users: list[QuestionIn] = Field(min_length=1, max_length=MOST_USERS)


class EventsIn(_KnownIn):
    """What is to be kept of a user."""

    user_id: Id


class _TrackOut(BaseModel):
    id: str | int
    title: str | None
    artist_name: str | None


class ListedOut(_TrackOut):
    """A track in a list."""

    score: float | None


class PopularOut(_TrackOut):
    """A track that a segment likes."""

    probability: float


class AnswerOut(BaseModel):
    """A list for a user, best track first."""

    user_id: str | int | None
    tracks: list[ListedOut]
    segment: int = Field(description="The one nearest to the user.")
    description: str = Field(description="Of that segment.")
    strategy: str
    reasons: dict[str, Any] | None = Field(description="Null unless asked for.")
    notes: list[str] = Field(description="What was not understood, such as unknown tracks.")
    bundle: str = Field(description="Version of the bundle that answered.")


class AnswersOut(BaseModel):
    """Lists in the order of the users."""

    answers: list[AnswerOut]


class EventsOut(BaseModel):
    """How much is known of a user now."""

    user_id: str
    events: int


class PlaylistOut(BaseModel):
    """A playlist in a carousel."""

    id: str | int
    title: str | None
    score: float | None


class CarouselsOut(BaseModel):
    """Playlists by the way they were chosen, best first; empty for a model without playlists."""

    carousels: dict[str, list[PlaylistOut]]
    bundle: str


class SegmentOut(BaseModel):
    """A segment of listeners and the tracks that they like."""

    segment: int
    size: int
    country: str | None
    age_class: str | None
    genres: list[str]
    description: str
    tracks: list[PopularOut]


class NamedOut(BaseModel):
    """A track or an artist."""

    id: str | int
    name: str | None


class FoundOut(BaseModel):
    """Tracks or artists, popular first."""

    found: list[NamedOut]


class ModelOut(BaseModel):
    """What answers."""

    version: str
    previous: str | None = Field(description="The version that a rollback goes back to.")
    strategies: list[str]
    default: str = Field(description="The strategy of a question that names none.")
    n_tracks: int
    problem: str | None = Field(description="Why the last reload was refused, if it was.")
    about: dict[str, Any] = Field(description="What the bundle says of itself.")


class ReloadOut(BaseModel):
    """What is in service after an exchange."""

    version: str
    previous: str | None
    changed: bool


class StatusOut(BaseModel):
    """That all is well."""

    status: Literal["ok"]


class ProblemOut(BaseModel):
    """Why there is no answer."""

    error: str = Field(description="One sentence.")
    field: str | None = Field(None, description="The field that is wrong, where there is one.")
    request: str | None = Field(None, description="With 500: what the service's log calls it.")


def first_problem(error: ValidationError) -> tuple[str, str]:
    """The field that is wrong, such as ``events[3].action``, and a sentence about it."""
    found = error.errors(include_url=False, include_input=False, include_context=False)[0]
    return told(found)


def told(found: Mapping[str, Any]) -> tuple[str, str]:
    """The field and the sentence of one of pydantic's errors."""
    field = ""
    for part in found["loc"]:
        field += f"[{part}]" if isinstance(part, int) else f".{part}"
    field = field.removeprefix(".")[:100] or "body"
    message = found["msg"].rstrip(".")
    return field, f"{field}: {message[:1].lower()}{message[1:]}"
