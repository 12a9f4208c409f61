"""The page of a newcomer, in a browser without a screen."""

from __future__ import annotations

import time
from collections.abc import Sequence

from gpu_coldstart.serving.recommender import Answer, Question
from tests.service.browser import ENTER, TAB, Browser
from tests.service.helpers import KEY, echoing
from tests.service.serving import served
from tests.service.shop import LARGE, Shop, choose, songs, visiting, wait_for_song


def test_the_list_follows_a_newcomer(page: Browser, shop: Shop) -> None:
    assert songs(page)[:5] == ["Song 0", "Song 1", "Song 2", "Track 3", '<b id="evil">Bold</b>']
    assert len(songs(page)) == 20
    assert page.run("return document.querySelector('#evil')") is None
    assert page.text("#segment strong") == "Like listeners from anywhere, aged None"
    assert page.texts("#country option") == ["I'd rather not say", "Elsewhere", "France", "Germany"]

    choose(page, "#age", "7")
    wait_for_song(page, "Song 7")
    choose(page, "#country", "FR")
    wait_for_song(page, "Song 9")
    assert page.text("#segment strong") == "Like listeners from FR, aged 7"

    page.click("#artist")
    page.press("bAnD 3")
    page.wait("document.querySelectorAll('#artists li').length === 1")
    page.click("#artists button")
    wait_for_song(page, "Song 12")
    assert page.run("return document.querySelector('#artists button').ariaPressed") == "true"

    page.click("#tracks li:nth-child(5) .stream")
    wait_for_song(page, "Song 15")
    assert songs(page)[1] == "Song 17"
    assert page.texts("#events li span") == ["Played Song 16"]
    assert page.text("#segment").endswith("Segment 2 is nearest to you so far.")
    assert page.texts("#tracks .move")[:1] == ["▲ 3"]
    assert page.texts("#tracks .new") == ["new"] * 4
    assert page.text("#status") == "The list has changed: 4 of 20 tracks are new."

    page.click("#tracks li:nth-child(1) .skip")
    wait_for_song(page, "Song 18")
    page.click("#tracks li:nth-child(1) .ban")
    wait_for_song(page, "Song 21")
    assert page.texts("#events li span") == ["Banned Song 18", "Skipped Song 15", "Played Song 16"]
    question = shop.asked[-1]
    assert (question.country, question.age, question.k, question.explain) == ("FR", 7, 20, True)
    assert [(event.action, event.entity, event.id) for event in question.events] == [
        ("onboarding", "artist", 3),
        ("stream", "track", 16),
        ("skip", "track", 15),
        ("ban", "track", 18),
    ]

    page.click("#events li:nth-child(2) button")
    wait_for_song(page, "Song 18")
    page.click("#reset")
    wait_for_song(page, "Song 9")
    assert page.texts("#events li") == []
    assert shop.asked[-1].events == ()


def test_reasons_are_told_in_words(page: Browser) -> None:
    assert page.texts("#reasons h3") == ["What lifts them above other tracks"]
    assert page.texts("#reasons li") == ["strategy Ridge\n90 %", "your artists you like\n10 %"]
    page.click("#tracks li:nth-child(1) .stream")
    wait_for_song(page, "Track 3")
    assert page.texts("#reasons h3")[1:] == ["What was noticed about you"]
    assert page.texts("#reasons ul:last-child li")[-1] == "streamed songs\n75 %"
    assert page.run("return document.querySelector('#reasons li:last-child .full').style.width")


def test_the_way_to_recommend_can_be_chosen(page: Browser, shop: Shop) -> None:
    assert page.run("return document.querySelector('#strategy').value") == "best"
    choose(page, "#strategy", "semi")
    page.wait("document.querySelector('#notes').innerText")
    assert page.texts("#notes li") == ["one thing is not known"]
    assert shop.asked[-1].strategy == "semi"
    page.run("document.querySelector('details').open = true")
    page.click("#seen")
    page.wait("document.querySelector('#tracks').ariaBusy === 'false'")
    page.click("#tracks li:nth-child(6) .stream")
    wait_for_song(page, "Track 3")
    assert not shop.asked[-1].exclude_seen
    assert page.text("#tracks li:nth-child(3) .words") == "Song 5\nBand 0\nPlayed"


def test_a_track_is_found_by_name_and_played(page: Browser, shop: Shop) -> None:
    page.click("#track")
    page.press("song 2")
    page.wait("document.querySelectorAll('#found li').length === 5")
    assert page.texts("#found strong") == ["Song 2", "Song 20", "Song 21", "Song 22", "Song 23"]
    assert page.text("#track-note") == "5 tracks found."
    page.click("#found li:nth-child(3) .stream")
    wait_for_song(page, "Track 3")
    assert shop.asked[-1].events[0].id == 21
    assert page.text("#found li:nth-child(3) .words") == "Song 21\nPlayed"
    page.press("x")
    page.click("#track")
    page.press("x")
    page.wait("document.querySelector('#track-note').innerText === 'No track of that name.'")
    assert page.texts("#found li") == []


def test_ids_arrive_as_they_are(page: Browser, shop: Shop) -> None:
    page.click("#tracks li:nth-child(1) .stream")
    page.wait("document.querySelectorAll('#events li').length === 1")
    wait_for_song(page, "Track 3")
    choose(page, "#age", "28")
    wait_for_song(page, "Song 1")
    page.click("#tracks li:nth-child(1) .skip")
    page.wait("document.querySelectorAll('#events li').length === 2")
    wait_for_song(page, '<b id="evil">Bold</b>')
    assert [event.id for event in shop.asked[-1].events] == [str(LARGE), "one"]


def test_an_error_is_shown_until_there_is_a_list_again(page: Browser) -> None:
    choose(page, "#age", "130")
    page.wait("document.querySelector('#error').innerText")
    assert page.text("#error") == "Nothing is left to recommend to this user."
    assert len(songs(page)) == 20
    choose(page, "#age", "131")
    page.wait("document.querySelector('#error').innerText.startsWith('The age')")
    choose(page, "#age", "2")
    wait_for_song(page, "Song 2")
    assert page.text("#error") == ""


def test_a_service_that_is_gone_is_a_sentence(chromium: Browser) -> None:
    with served(echoing(Shop())) as url:
        chromium.open(url)
        chromium.wait("document.querySelectorAll('#tracks li').length")
    choose(chromium, "#age", "2")
    chromium.wait("document.querySelector('#error').innerText === 'The service does not answer.'")


def test_a_service_with_keys_asks_for_one(chromium: Browser) -> None:
    with visiting(chromium, Shop(), keys=(KEY,)):
        chromium.wait("!document.querySelector('#key').hidden")
        assert "key" in chromium.text("#error")
        chromium.click("#secret")
        chromium.press(KEY + ENTER)
        chromium.wait("document.querySelectorAll('#tracks li').length")
        assert chromium.text("#error") == ""


def test_a_model_without_countries_and_names_will_do(chromium: Browser) -> None:
    model = Shop(about={}, n_tracks=7)
    with visiting(chromium, model):
        chromium.wait("document.querySelectorAll('#tracks li').length === 7")
        chromium.click("#country")
        chromium.press("FR" + TAB)
        wait_for_song(chromium, "Song 2")
        assert model.asked[-1].country == "FR"


def test_an_answer_that_comes_too_late_is_not_shown(chromium: Browser) -> None:
    class Slow(Shop):
        def answer(self, questions: Sequence[Question]) -> list[Answer]:
            time.sleep(0.5 * any(question.age == 6 for question in questions))
            return super().answer(questions)

    with visiting(chromium, Slow(), threads=2):
        chromium.wait("document.querySelectorAll('#tracks li').length")
        choose(chromium, "#age", "6")
        chromium.run("return new Promise((done) => setTimeout(done, 100))")
        choose(chromium, "#age", "19")
        wait_for_song(chromium, "Song 19")
        chromium.run("return new Promise((done) => setTimeout(done, 600))")
        assert songs(chromium)[0] == "Song 19"
