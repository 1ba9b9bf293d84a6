"""``setup`` and ``launch``: files of other programs, edited without harm."""
