# For `jupyter nbconvert --config page/config.py run.ipynb` in the folder above.
c.NbConvertApp.export_format = "html"  # noqa: F821
c.NbConvertApp.output_base = "MNIST_digit_classification"  # noqa: F821
c.HTMLExporter.template_name = "digits"  # noqa: F821
c.TemplateExporter.extra_template_basedirs = ["page"]  # noqa: F821
