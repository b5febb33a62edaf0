"""Pictures of episodes, of one run of each arm."""

from PIL import Image

from rql.reports.comparison import Comparison
from rql.reports.figures import Picture, new_figure

INCHES = 12.0


def contact_sheets(comparison: Comparison) -> list[Picture]:
    """The contact sheet of the first finished run of each arm in each task, where it has one."""
    pictures: list[Picture] = []
    for task in comparison.tasks:
        for arm in comparison.compared:
            shown = [run for run in comparison.finished_of(arm, task) if run.contact_sheet.exists()]
            if not shown:
                continue
            image = Image.open(shown[0].contact_sheet).convert("RGB")
            figure = new_figure(INCHES, INCHES * image.height / image.width)
            axes = figure.add_subplot()
            axes.imshow(image)
            axes.set_axis_off()
            named = f"{task}, {arm.label}" if len(comparison.tasks) > 1 else arm.label
            caption = (
                "Episodes of the clone and of the policy at the end of the last stage, from the same starts; seed "
                f"{shown[0].seed}. Of an episode these are the first frame, the last, and some in between."
            )
            pictures.append(Picture(f"episodes-{len(pictures) + 1}", f"Episodes: {named}", caption, figure))
    return pictures
