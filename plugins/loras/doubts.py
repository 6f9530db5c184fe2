"""Doubts about the checkpoints that do not stop a run: shown before the first picture."""

from collections.abc import Iterator, Mapping

from plugins.loras.errors import StagingError
from plugins.loras.header import Header, doubts_of_fit
from plugins.loras.saved import doubts_of_steps
from plugins.loras.unread import unread
from plugins.plan.plan import Plan
from plugins.plan.tested import Checkpoint
from plugins.plan.training.layers import has_text_encoder
from plugins.plan.training.weights import Sample, same_weights, sample_of

_MB = 1e6


def samples_of(plan: Plan, headers: Mapping[Checkpoint, Header]) -> dict[Checkpoint, Sample]:
    """Sample the weights of every checkpoint. Raises `StagingError`."""
    try:
        return {one: sample_of(plan.training_file(one), header) for one, header in headers.items()}
    except OSError as error:
        raise StagingError(f"A checkpoint cannot be read: {error}") from error


def saved_again(plan: Plan, samples: Mapping[Checkpoint, Sample]) -> dict[Checkpoint, Checkpoint]:
    """Return each checkpoint that holds the tensors of an earlier one, with that one. Raises `StagingError`."""
    of_file = {plan.training_file(one): one for one in samples}
    try:
        groups = same_weights({path: samples[one] for path, one in of_file.items()})
    except OSError as error:
        raise StagingError(f"A checkpoint cannot be read: {error}") from error
    return {of_file[other]: of_file[first] for first, *others in groups for other in others}


def doubts_of(  # noqa: PLR0913 (all that is known of the files)
    plan: Plan,
    headers: Mapping[Checkpoint, Header],
    base: Header | None,
    *,
    base_model: str,
    samples: Mapping[Checkpoint, Sample],
    again: Mapping[Checkpoint, Checkpoint],
) -> tuple[str, ...]:
    """Return what a person should know about the checkpoints before looking at pictures, one sentence each.

    `base` is the base model's header, where its file is at hand; `again` are the checkpoints that were saved twice.
    """
    return (
        *doubts_of_steps(headers),
        *doubts_of_fit(headers, base, base_model=base_model),
        *(f"checkpoint {one.id}: {words}" for one, header in headers.items() for words in unread(header)),
        *(
            f"checkpoint {one.id}: {sample.not_finite} of the {sample.tensors} tensors that were looked into hold NaN "
            "or infinity: its pictures may be black, and that is then the LoRA's doing"
            for one, sample in samples.items()
            if sample.not_finite
        ),
        *_sizes(plan),
        *_saved_twice(again),
    )


def said_of_strengths(plan: Plan, headers: Mapping[Checkpoint, Header]) -> Iterator[str]:
    """Yield which files have no part for CLIP, if the built-in workflow compares several strengths."""
    without = [one.id for one, header in headers.items() if not has_text_encoder(header)]
    if plan.sampling.compares_strengths and without and plan.workflow is None:
        which = "every checkpoint" if len(without) == len(headers) else ", ".join(without)
        yield f"no text encoder part in {which}: the strength on CLIP does nothing there, that on the model does"


def _sizes(plan: Plan) -> Iterator[str]:
    """Yield the sizes that production would not allow."""
    production = plan.production
    for checkpoint in plan.checkpoints:
        size = plan.training_file(checkpoint).stat().st_size
        if not production.min_size <= size <= production.max_size:
            bound = (
                f"at least {production.min_size / _MB:g} MB"
                if size < production.min_size
                else f"at most {production.max_size / _MB:g} MB"
            )
            yield (
                f"checkpoint {checkpoint.id} has {size / _MB:.3g} MB, and [production] wants {bound}: deployed, it "
                "would fail that claim. Correct min_size and max_size in the plan"
            )


def _saved_twice(again: Mapping[Checkpoint, Checkpoint]) -> Iterator[str]:
    """Yield checkpoints that are one, saved twice."""
    groups: dict[str, list[str]] = {}
    for other, first in again.items():
        groups.setdefault(first.id, []).append(other.id)
    for rendered, others in groups.items():
        named = " and ".join(others)
        yield (
            f"{rendered} and {named} hold the same tensors: they are one checkpoint, saved twice. It is rendered once; "
            f"{named} {'shows' if len(others) == 1 else 'show'} {rendered}'s pictures. Leave "
            f"{'one' if len(others) == 1 else 'all but one'} of them out of the plan"
        )
