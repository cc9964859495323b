"""The table of lines and what runs in threads, by themselves."""

import pytest
from rich.cells import cell_len

from modelhub.core.errors import NotFound
from modelhub.core.events import Problem, Progress, Result, Task
from modelhub.tui.jobs import Ended, Job
from modelhub.tui.table import Column, fitted, layout, line


def test_columns_give_way_on_narrow_terminals_and_wide_letters_keep_them_straight() -> None:
    columns = (Column("Name", 0), Column("Size", 6, right=True), Column("State", 8, least=60))
    assert [place for place, _, _ in layout(columns, 40)] == [0, 1]
    assert [place for place, _, _ in layout(columns, 80)] == [0, 1, 2]
    places = layout(columns, 40)
    rows = [("模型" * 30, "1 kB", ""), ("plain", "12 kB", ""), ("é" * 60, "", "")]
    assert {cell_len(line(row, places)) for row in rows} == {cell_len(line(rows[0], places))}


def test_names_are_cut_where_they_are_alike() -> None:
    cut = fitted("Llama-3.2-1B-Instruct-Q4_K_M.gguf", 20, right=False, middle=True)
    assert cut.startswith("Llama-3.2")
    assert cut.endswith("_K_M.gguf")
    assert len(cut) == 20
    assert fitted("EasyNegative.safetensors", 15, right=False, middle=True) == "EasyNegative…  "
    assert fitted("short", 8, right=False, middle=True) == "short   "


class Listener:
    """Takes the place of the app."""

    def __init__(self) -> None:
        self.ended: list[Job] = []

    def post_message(self, message: object) -> bool:
        assert isinstance(message, Ended)
        self.ended.append(message.job)
        return True


def run(task: Task[int]) -> Job:
    listener = Listener()
    job = Job(listener, "title", lambda: task)  # type: ignore[arg-type]
    job.start()
    job.join()
    assert listener.ended == [job]
    return job


def test_a_task_gives_its_value_and_its_log() -> None:
    def task() -> Task[int]:
        yield Progress("read", 50, 100, "bytes", "a")
        yield Problem("code", "One is\x1b[2J wrong.", "Mend it.")
        yield Result(7)

    job = run(task())
    assert (job.state, job.value, job.problems, job.share) == ("done", 7, 1, 0.5)
    assert "\x1b" not in job.log()[0][0]
    assert job.log(1) == []
    assert "1 problem" in job.told()


def test_a_task_that_fails_says_why() -> None:
    def task() -> Task[int]:
        yield Progress("read", 1, 2, "files")
        raise NotFound("It is gone.", hint="Look.")

    job = run(task())
    assert job.state == "failed"
    assert str(job.error) == "It is gone."


@pytest.mark.parametrize(("before", "state"), [(True, "stopped"), (False, "done")])
def test_a_task_is_closed_when_it_is_stopped(*, before: bool, state: str) -> None:
    closed: list[bool] = []

    def task() -> Task[int]:
        try:
            yield Progress("read", 1, 2, "files")
            yield Result(1)
        finally:
            closed.append(True)

    job = Job(Listener(), "title", task)  # type: ignore[arg-type]
    if before:
        job.cancel()
    job.start()
    job.join()
    assert (job.state, closed) == (state, [True])


def test_the_log_forgets_its_oldest_lines_and_knows_how_many_it_said() -> None:
    def task() -> Task[int]:
        for number in range(2500):
            yield Problem("code", f"{number}.")
        yield Result(1)

    job = run(task())
    assert job.logged == 2500
    assert len(job.log()) == 2000
    assert [text for text, _ in job.log(2498)] == ["2498.", "2499."]


def test_what_the_system_refuses_is_told() -> None:
    def task() -> Task[int]:
        yield Progress("read", 1, 2, "files")
        raise PermissionError(13, "Permission denied")

    job = run(task())
    assert job.state == "failed"
    assert job.error is not None
    assert "ermission" in job.log()[0][0]
