"""Proximal policy optimisation of the evacuation agent (Schulman et al. 2017, arXiv:1707.06347), in one or several processes.

Each process has people and fires of its own; their gradients are averaged, so all have the same networks at every step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from functions.training.agent import Agent
from functions.training.export import answers
from functions.training.grid import Evacuations, Ints, Plan, drawn, generated, greedy, shortest, success
from functions.training.learner import Average, Exam, alone, fall, join
from functions.training.settings import Evacuation

HORIZON, EPOCHS, DISCOUNT, TRACE, CLIP, ENTROPY = 16, 3, 0.99, 0.95, 0.2, 0.01

#: Observations that the exported model is compared on.
COMPARED = 4096


def split(plan: Plan, settings: Evacuation) -> tuple[Ints, Ints]:
    """The starts to learn from, and those that no training ever sees."""
    starts = plan.starts
    order = np.random.default_rng(settings.seed + 1).permutation(len(starts))
    unseen = max(1, round(settings.unseen * len(starts)))
    return starts[order[unseen:]], starts[order[:unseen]]


class EvacuationLearner:
    """One process's part of a training (see ``Learner``). ``data`` is a drawn map, if any; ``rank`` is its number."""

    def __init__(self, settings: Evacuation, data: list[bytes], rank: int = 0, average: Average = alone) -> None:
        torch.manual_seed(settings.seed)  # the same networks everywhere
        self.settings, self._average = settings, average
        self.plan = plan = drawn(data[0].decode("utf-8", "replace")) if data else generated(settings.size, settings.seed)
        self.agent = Agent(settings)
        self._optimiser = torch.optim.Adam(self.agent.parameters(), settings.rate, eps=1e-5)
        people = max(16, settings.people // settings.processes)
        seed = settings.seed * 1009 + rank
        starts, self.unseen = split(plan, settings)
        self.episodes = Evacuations(plan, starts, people, seed, growth=settings.growth, fires=settings.fires)
        self._draw = torch.Generator().manual_seed(seed)
        #: Steps of all processes so far.
        self.steps = 0

    @property
    def state(self) -> dict[str, Any]:
        return {
            "agent": self.agent.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "episodes": self.episodes.state,
            "draw": self._draw.get_state(),
            "steps": self.steps,
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.agent.load_state_dict(state["agent"])
        self._optimiser.load_state_dict(state["optimiser"])
        places = {name: each.numpy() if isinstance(each, Tensor) else each for name, each in state["episodes"].items()}
        self.episodes.restore(places)
        self._draw.set_state(state["draw"])
        self.steps = state["steps"]

    def rounds(self) -> Iterator[dict[str, float]]:
        while self.steps < self.settings.steps:
            done = self.steps / self.settings.steps
            fall(self._optimiser, self.settings.rate, done)
            played, ended, safe = self._play()
            loss = self._learn(*played, entropy=ENTROPY * (1 - done))
            self.steps += HORIZON * len(self.episodes.at) * self.settings.processes
            yield {"steps": self.steps, "success": safe / max(ended, 1), "loss": loss}

    def exam(self) -> Exam:
        met: list[Tensor] = []

        @torch.no_grad()
        def moves(episodes: Evacuations) -> Ints:
            observation = torch.from_numpy(episodes.observe())
            met.append(observation)
            found: Ints = self.agent(observation).argmax(1).numpy()
            return found

        reached = self.trial(moves)
        example = torch.cat(met)
        example = example[:: max(1, len(example) // COMPARED)]

        @torch.no_grad()
        def measure(content: bytes) -> dict[str, float]:
            chosen = self.agent(example).argmax(1).numpy()
            same = float((answers(content, example.numpy()).argmax(1) == chosen).mean())
            baselines = {"greedy": self.trial(greedy), "shortest": self.trial(shortest)}
            return {"success": reached, **baselines, "same_choices": same}

        return Exam(self.agent, example, ("observation", ("preference",)), {0: "batch"}, measure)

    def trial(self, moves: Callable[[Evacuations], Any]) -> float:
        """The share of evacuations from starts that no training saw, with fires of their own, that end well."""
        wanted = self.settings
        people, seed = min(wanted.trials, 1000), wanted.seed + 977
        episodes = Evacuations(self.plan, self.unseen, people, seed, growth=wanted.growth, fires=wanted.fires)
        return success(episodes, moves, wanted.trials)

    @torch.no_grad()
    def _play(self) -> tuple[tuple[Tensor, ...], int, int]:
        seen, moves, chances, values, rewards, ends, safe = [], [], [], [], [], [], 0
        for _ in range(HORIZON):
            observation = torch.from_numpy(self.episodes.observe())
            preferences, value = self.agent.both(observation)
            logits = torch.log_softmax(preferences, 1)
            move = torch.multinomial(logits.exp(), 1, generator=self._draw)[:, 0]
            reward, ended, saved = self.episodes.step(move.numpy())
            safe += int(saved.sum())
            seen.append(observation)
            moves.append(move)
            chances.append(logits.gather(1, move[:, None])[:, 0])
            values.append(value)
            rewards.append(torch.from_numpy(reward))
            ends.append(torch.from_numpy(ended))
        value = self.agent.both(torch.from_numpy(self.episodes.observe()))[1]
        advantages: list[Tensor] = []
        running = torch.zeros_like(value)
        for at in reversed(range(HORIZON)):
            on = (~ends[at]).float()
            surprise = rewards[at] + DISCOUNT * value * on - values[at]
            running = surprise + DISCOUNT * TRACE * on * running
            advantages.insert(0, running)
            value = values[at]
        advantage = torch.cat(advantages)
        played = (torch.cat(seen), torch.cat(moves), torch.cat(chances), advantage, advantage + torch.cat(values))
        return played, int(torch.stack(ends).sum()), safe

    def _learn(
        self, seen: Tensor, moves: Tensor, chances: Tensor, advantage: Tensor, worth: Tensor, *, entropy: float
    ) -> float:
        advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
        size = min(max(16, self.settings.batch // self.settings.processes), len(seen))
        total, count = 0.0, 0
        for _ in range(EPOCHS):
            order = torch.randperm(len(seen), generator=self._draw)
            for start in range(0, len(seen) - size + 1, size):
                some = order[start : start + size]
                preferences, value = self.agent.both(seen[some])
                logits = torch.log_softmax(preferences, 1)
                ratio = (logits.gather(1, moves[some, None])[:, 0] - chances[some]).exp()
                gain = torch.min(ratio * advantage[some], ratio.clamp(1 - CLIP, 1 + CLIP) * advantage[some]).mean()
                surprise = (value - worth[some]).square().mean()
                spread = -(logits.exp() * logits).sum(1).mean()
                loss = -gain + 0.5 * surprise - entropy * spread
                self._optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                join(self.agent.parameters(), self._average)
                torch.nn.utils.clip_grad_norm_(self.agent.parameters(), 0.5)
                self._optimiser.step()
                total, count = total + float(loss.detach()), count + 1
        return total / max(count, 1)
