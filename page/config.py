# For `jupyter nbconvert --config page/config.py FILE.ipynb` in the folder above.
import os
from pathlib import Path

c = get_config()  # noqa: F821, Jupyter gives it
c.NbConvertApp.export_format = "html"
c.NbConvertApp.output_base = "MNIST_digit_classification"
c.HTMLExporter.template_name = "digits"
c.TemplateExporter.extra_template_basedirs = [str(Path(__file__).parent)]
c.TemplateExporter.exclude_input_prompt = True
c.TemplateExporter.exclude_output_prompt = True
# As .github/workflows/page.yml makes it, the page has a link to the notebook in Colab.
name = os.environ.get("PUBLISHED_FROM", "")
c.TemplateExporter.filters = {
    "with_repository": lambda text: name and text.format(name)
}
