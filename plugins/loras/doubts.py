"""What is odd about the checkpoints, and does not stop a run: said before the first picture."""

from collections.abc import Iterator, Mapping

from plugins.loras.header import Header, doubts_of_fit
from plugins.loras.saved import doubts_of_steps
from plugins.loras.unread import unread
from plugins.plan.plan import Checkpoint, Plan
from plugins.plan.training.weights import Sample, same_weights, sample_of

_MB = 1e6


def doubts_of(
    plan: Plan, headers: Mapping[Checkpoint, Header], base: Header | None, *, base_model: str
) -> tuple[str, ...]:
    """Return what a person should know of the checkpoints before looking at pictures, one sentence each.

    `base` is the base model's header, where its file is at hand.
    """
    try:
        samples = {one: sample_of(plan.training_file(one), header) for one, header in headers.items()}
        sizes = tuple(_sizes(plan))
        twins = tuple(_twins(plan, samples))
    except OSError as error:
        return (f"the checkpoints' weights were not looked into: {error}",)
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
        *sizes,
        *twins,
    )


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


def _twins(plan: Plan, samples: Mapping[Checkpoint, Sample]) -> Iterator[str]:
    """Yield checkpoints that are one, saved twice."""
    of_file = {plan.training_file(one): one.id for one in samples}
    for group in same_weights({plan.training_file(one): sample for one, sample in samples.items()}):
        first, *others = (of_file[path] for path in group)
        yield (
            f"{' and '.join([first, *others])} hold the same tensors: they are one checkpoint, saved twice. Leave "
            f"{'one' if len(others) == 1 else 'all but one'} of them out of the plan"
        )
