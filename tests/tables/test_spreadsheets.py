"""Tables that are opened in spreadsheet programs."""

from tf_lungreg.tables.spreadsheets import for_spreadsheets


def test_texts_that_would_run_are_quoted_and_numbers_stay():
    texts = ["=1+1", "+x", "-x", "@SUM(1)", "\t=1", "plain", "a=b", ""]
    rows = [{"text": text, "number": -0.5, "none": None} for text in texts]
    written = for_spreadsheets(rows)
    assert [row["text"] for row in written[:5]] == [f"'{text}" for text in texts[:5]]
    assert [row["text"] for row in written[5:]] == texts[5:]
    assert all(row["number"] == -0.5 and row["none"] is None for row in written)
    assert for_spreadsheets(written) == written
